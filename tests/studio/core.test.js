// The page's arithmetic against golden files that rendering.py wrote: `make page`.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

const at = new URL("../../src/striate/studio/page/", import.meta.url);
const { decodeTensors, npyBytes } = await import(new URL("core/decode.js", at));
const colour = await import(new URL("core/colour.js", at));
const tiles = await import(new URL("core/tiles.js", at));
const format = await import(new URL("core/format.js", at));
const geometry = await import(new URL("core/geometry.js", at));
const address = await import(new URL("address.js", at));
const { wordsOf, typedNumber, chosenLanguage } = await import(new URL("words.js", at));

const file = (name) => readFileSync(new URL(`golden/${name}`, import.meta.url));
const bytes = (name) => { const { buffer, byteOffset, length } = file(name); return buffer.slice(byteOffset, byteOffset + length); };
const golden = JSON.parse(file("core.json"));
const maps = Uint8Array.from(golden.maps.flat(2));
const rgb = (pixels) => Array.from(pixels, (p) => [p & 255, (p >> 8) & 255, (p >> 16) & 255]);

test("safetensors of every type", () => {
  const { meta, arrays } = decodeTensors(bytes("tensors.safetensors"));
  assert.deepEqual(meta, { layer: "слой", total: 7 });
  assert.deepEqual([...arrays.u8.data], [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(arrays.u8.shape, [2, 3]);
  assert.deepEqual([...arrays.f32.data], [...new Float32Array([0.1, -2.5, Infinity, 3e-40])]);
  assert.equal(arrays.f64.data[0], 1 / 3);
  assert.deepEqual([...arrays.i64.data], [-5, 2 ** 40]);
  assert.deepEqual([...arrays.i32.data], [-7]);
  assert.deepEqual([...arrays.bool.data], [1, 0]);
  assert.equal(arrays.none.data.length, 0);
});

test("bytes of another layout are refused in a sentence", () => {
  assert.throws(() => decodeTensors(new ArrayBuffer(4)), /too few/);
  assert.throws(() => decodeTensors(bytes("array.npy")), /header of/);
  const cut = bytes("tensors.safetensors").slice(0, -3);
  assert.throws(() => decodeTensors(cut), /bytes for the shape/);
});

test("npy as NumPy writes it", () => {
  assert.deepEqual(Buffer.from(npyBytes(new Float32Array([1.5, -2, 0.25]), [1, 3])), file("array.npy"));
});

for (const theme of ["light", "dark"]) for (const two of [false, true]) test(`colours ${theme} ${two ? "below and above zero" : "from zero"}`, () => {
  assert.deepEqual(rgb(colour.rampOf(theme, two)), golden.ramps[theme][two ? "True" : "False"]);
});

for (const theme of ["light", "dark"]) for (const scale of ["map", "layer"]) test(`tiles ${theme}, scale of the ${scale}`, () => {
  const own = golden.lo.map((lo, c) => ({ lo: lo ?? NaN, hi: golden.hi[c] }));
  const tables = own.map((range) => colour.colourTable(range, scale === "layer" ? { lo: -3, hi: 5 } : range, theme));
  const tiling = tiles.tilingOf(7, { height: 5, width: 6 }, { zoomY: 2, zoomX: 3, gap: 2 }, 62);
  assert.equal(tiling.columns, 3);
  const pixels = tiling.bands.flatMap((band) => rgb(tiles.paintBand(tiling, band, maps, tables, [4, 2, 0, 6, 1, 3, 5], colour.packedColour(colour.PALETTES[theme].gap))));
  assert.deepEqual(pixels, golden[`painted_${theme}_${scale}`].flat());
});

test("bands make up the whole, and every tile is where a point finds it", () => {
  const tiling = tiles.tilingOf(2048, { height: 7, width: 7 }, { zoomY: 7, zoomX: 7, gap: 2 }, 1000);
  assert.ok(tiling.bands.length > 1);
  assert.ok(tiling.bands.every((band) => band.height <= tiles.LONGEST));
  assert.equal(tiling.bands.reduce((sum, band) => sum + band.height, 0), tiling.fullHeight);
  for (const place of [0, 1, 18, 19, 2047]) {
    const { left, top } = tiles.tileCorner(tiling, place);
    assert.deepEqual(tiles.tileAt(tiling, left, top), { place, y: 0, x: 0 });
    assert.deepEqual(tiles.tileAt(tiling, left + 48, top + 48), { place, y: 6, x: 6 });
    assert.equal(tiles.tileAt(tiling, left - 1, top), null);
  }
});

test("zooms double, and large maps begin shrunk", () => {
  const fit = tiles.fittingZoom(6, { height: 28, width: 28 }, { width: 680, height: 600 }, 2);
  const tiling = tiles.tilingOf(6, { height: 28, width: 28 }, { zoomY: fit, zoomX: fit, gap: 2 }, 680);
  assert.ok(tiling.fullHeight <= 600 && tiling.fullWidth <= 680 && fit * 28 <= 224);
  assert.equal(tiles.fittingZoom(2048, { height: 7, width: 7 }, { width: 680, height: 600 }, 2), 4);
  assert.deepEqual(tiles.zoomSteps({ height: 28, width: 28 }, 8, -1), { shrink: 1, zoom: 4 });
  assert.deepEqual(tiles.zoomSteps({ height: 28, width: 28 }, 1, -2), { shrink: 4, zoom: 1 });
  assert.deepEqual(tiles.zoomSteps({ height: 570, width: 570 }, 1, 0), { shrink: 4, zoom: 1 });
  assert.deepEqual(tiles.zoomSteps({ height: 570, width: 570 }, 1, 2), { shrink: 1, zoom: 1 });
  assert.deepEqual(tiles.wideEnough({ height: 1, width: 1 }, 4), { zoomY: 24, zoomX: 24 });
});

test("smaller maps are means of blocks", () => {
  const small = tiles.shrinkMaps(maps, 7, 5, 6, 2);
  assert.deepEqual([small.height, small.width], [3, 3]);
  assert.deepEqual([...small.maps], golden.shrunk.flat(2));
});

test("strokes cover what they cover", () => {
  const [x0, y0, x1, y1] = golden.line;
  const near = (a, b) => a.forEach((v, i) => assert.ok(Math.abs(v - b[i]) < 1e-6, `${i}: ${v} ${b[i]}`));
  const cover = new Float32Array(80);
  geometry.coverLine(cover, 8, 10, { x: x0, y: y0 }, { x: x1, y: y1 }, 2.5);
  near([...cover], golden.covered);
  const dot = new Float32Array(80);
  geometry.coverLine(dot, 8, 10, { x: 3.5, y: 3.5 }, { x: 3.5, y: 3.5 }, 1);
  near([...dot], golden.dot);
  assert.deepEqual([...geometry.inkedPixels(Uint8Array.of(10, 20, 30, 40, 50, 60), Float32Array.of(0, 0.5), [255, 0, 100])], [10, 20, 30, 148, 25, 80]);
});

test("order of channels", () => {
  assert.deepEqual(tiles.channelOrder([3, NaN, 5, 3, -1], 5, null), [2, 0, 3, 4, 1]);
  assert.deepEqual(tiles.channelOrder(null, 4, (c) => c !== 2), [0, 1, 3]);
  assert.deepEqual(tiles.channelOrder([-Infinity, Infinity, 0], 3, null), [1, 2, 0]);
});

test("differences of 8-bit maps", () => {
  const stats = (lo, hi) => ({ lo: [lo], hi: [hi] });
  const { maps: q, stats: s } = format.differenceMaps(Uint8Array.of(0, 255), stats(0, 2), Uint8Array.of(255, 255), stats(0, 1));
  assert.deepEqual([...q], [0, 255]);
  assert.deepEqual([s.lo[0], s.hi[0], s.mean[0]], [-1, 1, 0]);
});

test("histograms count every value", () => {
  const counts = format.histogramOf(Uint8Array.of(0, 0, 255, 128), 1, { lo: [0], hi: [1] }, { lo: 0, hi: 1 }, 4);
  assert.deepEqual([...counts], [2, 0, 1, 1]);
});

test("tables keep the point and quote what must be quoted", () => {
  assert.equal(format.csvText([["a,b", 'say "x"', 0.5]]), '"a,b","say ""x""",0.5\n');
});

test("addresses come back, and a change takes away what no longer fits", () => {
  const one = { screen: "layer", net: "lenet5", run: "r1", layer: "c1@0", c: "3", y: "0" };
  assert.deepEqual(address.parseAddress(address.writeAddress(one)), one);
  assert.deepEqual(address.parseAddress(""), { screen: "networks" });
  assert.equal(address.changedAddress(one, { layer: "c2@0" }).c, undefined);
  assert.deepEqual(address.changedAddress(one, { net: "other" }), { screen: "layer", net: "other" });
  assert.equal(address.changedAddress(one, { c: 0 }).c, "0");
  const odd = { screen: "layer", layer: "a&b=c#d@0" };
  assert.deepEqual(address.parseAddress(address.writeAddress(odd)), odd);
});

const catalogue = (name) => JSON.parse(readFileSync(new URL(`words/${name}.json`, at)));
for (const [language, forms] of [["en", ["1 of 9 shown", "2 of 9 shown", "5 of 9 shown", "21 of 9 shown"]],
  ["ru", ["показана 1 из 9", "показаны 2 из 9", "показано 5 из 9", "показана 21 из 9", "показаны 22 из 9", "показано 1,5 из 9"]],
  ["pl", ["pokazano 1 z 9", "pokazano 2 z 9", "pokazano 5 z 9", "pokazano 21 z 9"]]]) test(`plural forms in ${language}`, () => {
  const { t } = wordsOf(language, catalogue(language));
  const numbers = [1, 2, 5, 21, 22, 1.5];
  assert.deepEqual(forms.map((_, i) => t("layer.shown", { n: numbers[i], total: 9 })), forms);
});

test("numbers are written as the language does and read with comma or point", () => {
  assert.equal(wordsOf("ru", {}).number(1234.5678, { maximumFractionDigits: 2 }).replace(/\s/g, " "), "1 234,57");
  assert.equal(wordsOf("en", {}).number(0.000012345), "1.234E-5".replace("1.234", "1.235"));
  assert.equal(wordsOf("pl", {}).number(2048), "2048");
  assert.equal(wordsOf("en", {}).number(NaN), "NaN");
  assert.deepEqual([typedNumber("1,5"), typedNumber("1.5"), typedNumber("−3"), typedNumber("1 000,25")], [1.5, 1.5, -3, 1000.25]);
  assert.ok(Number.isNaN(typedNumber("")) && Number.isNaN(typedNumber("x")) && Number.isNaN(typedNumber("1,000.5")));
  assert.equal(chosenLanguage([null, "pl-PL", "en"]), "pl");
  assert.equal(chosenLanguage(["de"]), "en");
});
