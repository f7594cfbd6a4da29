// @ts-check
/** Arrays in the safetensors layout: 8 bytes length, a JSON header, the bytes. Facts stand as JSON under `meta` in its metadata. */

/**
 * @typedef {Float32Array | Float64Array | Uint8Array | Int8Array | Int16Array | Int32Array} Numbers
 * @typedef {{dtype: string, shape: number[], data: Numbers}} Tensor
 * @typedef {{meta: Record<string, any>, arrays: Record<string, Tensor>}} Tensors
 */

/** @type {Record<string, [number, (buffer: ArrayBuffer) => Numbers]>} */
const DTYPES = {
  F64: [8, (b) => new Float64Array(b)],
  F32: [4, (b) => new Float32Array(b)],
  I64: [8, (b) => Float64Array.from(new BigInt64Array(b), Number)],
  I32: [4, (b) => new Int32Array(b)],
  I16: [2, (b) => new Int16Array(b)],
  I8: [1, (b) => new Int8Array(b)],
  U8: [1, (b) => new Uint8Array(b)],
  BOOL: [1, (b) => new Uint8Array(b)],
};

/**
 * The arrays of an answer and its facts (`meta`). Throws an Error that says what is wrong with bytes of another layout.
 * @param {ArrayBuffer} buffer @returns {Tensors}
 */
export function decodeTensors(buffer) {
  if (buffer.byteLength < 8) throw new Error(`${buffer.byteLength} bytes: too few for a safetensors header`);
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  if (8 + length > buffer.byteLength) throw new Error(`a header of ${length} bytes in an answer of ${buffer.byteLength}`);
  const { __metadata__: facts = {}, ...entries } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  /** @type {Record<string, Tensor>} */
  const arrays = {};
  for (const [name, entry] of Object.entries(entries)) arrays[name] = tensor(buffer, 8 + length, name, entry);
  return { meta: facts.meta ? JSON.parse(facts.meta) : facts, arrays };
}

/**
 * @param {ArrayBuffer} buffer @param {number} base @param {string} name
 * @param {{dtype: string, shape: number[], data_offsets: [number, number]}} entry @returns {Tensor}
 */
function tensor(buffer, base, name, { dtype, shape, data_offsets: [start, end] }) {
  const kind = DTYPES[dtype];
  if (!kind) throw new Error(`${name}: arrays of type ${dtype} are not read here`);
  const count = shape.reduce((product, size) => product * size, 1);
  if (end - start !== count * kind[0] || base + end > buffer.byteLength) throw new Error(`${name}: ${end - start} bytes for the shape ${shape.join("x")} of ${dtype}`);
  return { dtype, shape, data: kind[1](buffer.slice(base + start, base + end)) };
}

/**
 * A NumPy file (format 1.0) of float32 values.
 * @param {Float32Array} data @param {number[]} shape @returns {Uint8Array<ArrayBuffer>}
 */
export function npyBytes(data, shape) {
  const sizes = shape.length === 1 ? `${shape[0]},` : shape.join(", ");
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${sizes}), }`;
  const padded = text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11) + "\n";
  const bytes = new Uint8Array(10 + padded.length + data.byteLength);
  bytes.set([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, padded.length & 255, padded.length >> 8]);
  bytes.set(new TextEncoder().encode(padded), 10);
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), 10 + padded.length);
  return bytes;
}
