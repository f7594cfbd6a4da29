export interface NetItem { id: string; name: string; kind: "catalogue" | "run" | "given"; title?: string; task?: string; input?: number[]; params?: number; macs?: number; open: boolean }
export interface Layer { id: string; path: string; call: number; op: string; shape: number[]; kernel?: number[]; stride?: number[]; params: number; shown: number }
export interface Step { name: string; text: string; preview?: string }
export interface Class { index: number; class: string; p: number; logit: number }
export interface Run { run_id: string; net: string; input: { kind: string; shape: number[]; steps: Step[] }; top: Class[]; ms: number; item?: number; truth?: string }
export interface NetCard { id: string; name: string; kind: string; task?: string; input: { kind: string; shape: number[]; channels?: number }; classes: string[]; params: number; macs?: number; sentences: string[]; layers: Layer[]; example?: Run }
