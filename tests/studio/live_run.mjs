// Runs a net in steps on one input and writes what each layer gave: node live_run.mjs live.js FOLDER.
import { readFileSync, writeFileSync } from "node:fs";
const [, , module, folder] = process.argv;
const { runLive } = await import(module);
const { program, names, shape } = JSON.parse(readFileSync(`${folder}/program.json`, "utf8"));
const bytes = (name) => { const file = readFileSync(`${folder}/${name}.f32`); return new Float32Array(file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength)); };
const arrays = Object.fromEntries(names.map((name) => [name, bytes(name)]));
const values = runLive(program, arrays, { shape, data: bytes("input") });
const out = Object.fromEntries(Object.entries(program.layers).map(([layer, [at]]) => [layer, Array.from(values.get(at).data)]));
writeFileSync(`${folder}/out.json`, JSON.stringify({ layers: out, answer: Array.from(values.get(program.output).data) }));
