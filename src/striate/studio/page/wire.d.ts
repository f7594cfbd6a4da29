export interface NetItem { id: string; name: string; kind: string; title: string; task?: string; input?: number[]; params?: number; macs?: number; note?: string; open: boolean }
export interface Layer { id: string; path: string; call: number; op: string; shape: number[]; kind: string; params: number; shown: number; kernel?: number[]; stride?: number[]; kernels: boolean }
export interface InputInfo { kind: string; shape: number[]; channels: number }
export interface Step { name: string; text: string; params: Record<string, number>; preview?: string }
export interface RunInput { kind: string; shape: number[]; steps: Step[] }
export interface Class { index: number; class: string; logit: number; p?: number }
export interface Run { run_id: string; net: string; input: RunInput; top: Class[]; answer: string; ms: number; item?: number; truth?: string; note?: string }
export interface NetCard { id: string; name: string; kind: string; input: InputInfo; classes: string[]; params: number; sentences: string[]; layers: Layer[]; example: Run; items: number; task?: string; macs?: number }
export interface Item { index: number; name: string; thumb: string; label?: string }
export interface ItemList { total: number; items: Item[] }
