// Made of src/striate/studio/wire.py by `python -m striate.studio.declarations`; do not edit.
/** One call of a net: `layer` is its id for maps and numbers, `passing` that it hands on what it reads. */
export interface MapNode {
  id: string;
  op: string;
  kind: string;
  label: string;
  path: string;
  call: number;
  layer: string;
  shape: number[];
  params: number;
  macs?: number;
  passing: boolean;
  opaque: boolean;
  used: boolean;
}

/** Calls below one module: `children` are ids of nodes and groups; `repeat` groups that are alike, if more than one. */
export interface MapGroup {
  id: string;
  path: string;
  label: string;
  name: string;
  layer: string;
  shape: number[];
  children: string[];
  calls: number;
  params: number;
  macs?: number;
  repeat: number;
}

/** A box of the drawing, in pixels. */
export interface MapBox {
  id: string;
  x: number;
  y: number;
  w: number;
  h: number;
}

/** A line from box to box by their places; `edges` it stands for, and the corners it goes through. */
export interface MapLine {
  from: number;
  to: number;
  edges: number;
  points: number[][];
}

/** Where the boxes stand while some groups are open; `listed` where they are too many to be drawn. */
export interface MapLayout {
  w: number;
  h: number;
  open: string[];
  boxes: MapBox[];
  lines: MapLine[];
  listed: boolean;
}

/** The map of a net; edges are [from, to, port] by the places of nodes. */
export interface Graph {
  net: string;
  nodes: MapNode[];
  edges: number[][];
  groups: MapGroup[];
  root: string[];
  layout: MapLayout;
  note: string;
}

/** One number that went in: `index` among all terms; `a` read, `w` its factor, `p` their product. `at` is where it stands, without the item; absent for padding, gaps, weights and plain numbers, from which no step leads back. `layer` and `name` are absent where they are those of the number's `source`. `by`, `by_at`: where the factor stands, if it depends on the input too. */
export interface NumberTerm {
  index: number;
  a: number;
  w: number;
  p: number;
  mark?: string;
  tap?: number[];
  ci?: number;
  layer?: string;
  at?: number[];
  item?: number;
  name?: string;
  by?: string;
  by_at?: number[];
}

/** What the next normalisation or activation makes of the number; `symbols`: what stands for each {name} of `formula`. */
export interface NumberStage {
  layer: string;
  name: string;
  op: string;
  kind: string;
  value: number;
  sum64: number;
  formula: string;
  symbols: Record<string, number>;
  within?: boolean;
}

/** A map that a number stands in or is read from: its layer, size without the items, and the channel of the number. */
export interface NumberPlace {
  layer: string;
  name: string;
  shape: number[];
}

/** One number of a run: what PyTorch gave, the same in float64, the terms. `terms` holds the largest, `others` the sum of the rest; where `adds`, terms, others and `constant` make up `sum64`. `bound` is 16 unit roundoffs times the sum of all magnitudes for sums, else what is known of the function; `guaranteed` what no order of adding can exceed. `window`: the input cells that the window covers, an axis (null: a gap). `channels`: first, end and count of the input channels that are read. `main`: index of the term that is followed back. */
export interface Number {
  layer: string;
  name: string;
  op: string;
  kind: string;
  at: number[];
  item: number;
  shape: number[];
  dtype: string;
  value: number;
  sum64: number;
  difference: number;
  constant: number;
  adds: boolean;
  facts: Record<string, number>;
  total: number;
  terms: NumberTerm[];
  others: number;
  pad_terms: number;
  gap_terms: number;
  channel_sums: number[];
  kernel: number[];
  dilation: number[];
  formula: string;
  symbols: Record<string, number>;
  after: NumberStage[];
  rule: string;
  bound?: number;
  guaranteed?: number;
  within?: boolean;
  main?: number;
  stride?: number[];
  padding?: number[];
  groups?: number;
  transposed?: boolean;
  channels?: number[];
  window?: ((number | null)[])[];
  source?: NumberPlace;
}

/** A map that a unit reads: its layer and channel, and its share of all that the unit was given. */
export interface FanEdge {
  layer: string;
  c: number;
  share: number;
}

/** What one channel of a layer was made of; `more` and `rest` are how many other maps and their share together. `rule`: "products" (a share is that of the mean size of weight times input), "parts" (of values that are added or joined), "same" (one map, channel by channel), "unknown". */
export interface Fan {
  layer: string;
  c: number;
  op: string;
  rule: string;
  edges: FanEdge[];
  more: number;
  rest: number;
  bias?: number;
}

/** A net that can be opened; of what is None nothing is known before it is. */
export interface NetItem {
  id: string;
  name: string;
  kind: string;
  title: string;
  task?: string;
  input?: number[];
  params?: number;
  macs?: number;
  note?: string;
  open: boolean;
}

/** Of GET api/nets. */
export interface NetList {
  items: NetItem[];
}

/** Of GET api/session: what every request that changes something needs, and what is open. */
export interface SessionInfo {
  token: string;
  version: string;
  open: string[];
  data: boolean;
  lang: string;
}

/** One call of a layer, or of a function in a forward. `shape` is without the batch axis, `shown` counts its channels. */
export interface Layer {
  id: string;
  path: string;
  call: number;
  op: string;
  shape: number[];
  kind: string;
  params: number;
  shown: number;
  kernel?: number[];
  stride?: number[];
  kernels: boolean;
}

/** What a net reads. `channels` are those that the page draws and edits: 1 grey, 3 colour; 0 where it is no picture. */
export interface InputInfo {
  kind: string;
  shape: number[];
  channels: number;
}

/** One step of the preprocessing: its name, a sentence, its numbers, and where a picture after it lies. */
export interface Step {
  name: string;
  text: string;
  params: Record<string, number>;
  preview?: string;
}

/** An input as it was given and prepared. */
export interface RunInput {
  kind: string;
  shape: number[];
  steps: Step[];
  unit: string;
}

/** One of the answers; `p` is None where it is no probability, or share of the places. */
export interface Class {
  index: number;
  class: string;
  logit: number;
  p?: number;
}

/** What a net said of one input. */
export interface Run {
  run_id: string;
  net: string;
  input: RunInput;
  top: Class[];
  answer: string;
  ms: number;
  item?: number;
  truth?: string;
  note?: string;
}

/** All that the page shows of an open net. */
export interface NetCard {
  id: string;
  name: string;
  kind: string;
  input: InputInfo;
  classes: string[];
  params: number;
  sentences: string[];
  layers: Layer[];
  example: Run;
  items: number;
  task?: string;
  macs?: number;
}

/** One item of the data. */
export interface Item {
  index: number;
  name: string;
  thumb: string;
  label?: string;
}

/** Of GET api/net/ID/items. */
export interface ItemList {
  total: number;
  items: Item[];
}

/** Of GET api/run/RUN/ranges: least and greatest finite value of each layer of the card. */
export interface Ranges {
  layers: string[];
  lo: number[];
  hi: number[];
}

/** What one cell of a layer reads of the input, an axis each: `box` the places that it really reads, first and last. `size`, `stride` and `theoretical` count padding as places; they are left out where the field has no bound or could not be followed, and `why` says which. */
export interface Field {
  layer: string;
  cells: number[];
  at: number[];
  space: number[];
  box: (number[] | null)[];
  size?: number[];
  stride?: number[];
  theoretical?: number[][];
  clipped: boolean;
  why: string;
}

/** An earlier layer that a cell depends on, and of its cells those that the cell reads, first and last an axis. */
export interface ConeLayer {
  node: string;
  layer: string;
  label: string;
  path: string;
  cells: number[];
  box: (number[] | null)[];
}

/** A channel by its mean within a region and outside of it; `score` is their difference in standard deviations. */
export interface FiringUnit {
  c: number;
  inside: number;
  outside: number;
  score: number;
}

/** The channels that fire in a region of the input, the first of `larger`, and the cells of the layer taken for it. */
export interface Region {
  layer: string;
  cells: number[][];
  total: number;
  larger: number;
  units: FiringUnit[];
}

/** A method by its name: the unit of its values, whether it is made at a layer, whether it is long and so a job. */
export interface SaliencyMethod {
  name: string;
  unit: string;
  at_layer: boolean;
  number: string;
  usual: number;
  long: boolean;
}
