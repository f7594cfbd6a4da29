// @ts-check
/** What the net read, as a picture. */

/** @typedef {import("../core/decode.js").Tensors} Tensors */

/** Paints `picture` u8 [H, W, 3] of an answer to run/RUN/input, one canvas pixel a pixel. @param {HTMLCanvasElement} canvas @param {Tensors} answer */
export function paintInput(canvas, answer) {
  const picture = answer.arrays["picture"];
  if (!picture) return;
  const [height = 1, width = 1, channels = 1] = picture.shape;
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = picture.data[channels * i + Math.min(c, channels - 1)] ?? 0;
    image.data[4 * i + 3] = 255;
  }
  canvas.width = width;
  canvas.height = height;
  canvas.getContext("2d")?.putImageData(image, 0, 0);
}
