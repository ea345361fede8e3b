// Draws a mask, 255 = foreground, as a tint on a canvas.

const TINT = [255, 64, 64];
const LARGEST_SIDE = 2048;

export async function tint(canvas, address) {
  const mask = new Image();
  mask.src = address;
  await mask.decode();
  const scale = Math.min(1, LARGEST_SIDE / Math.max(mask.naturalWidth, mask.naturalHeight));
  canvas.width = Math.max(1, Math.round(mask.naturalWidth * scale));
  canvas.height = Math.max(1, Math.round(mask.naturalHeight * scale));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(mask, 0, 0, canvas.width, canvas.height);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 0; at < pixels.data.length; at += 4) {
    const strength = pixels.data[at];
    pixels.data.set(TINT, at);
    pixels.data[at + 3] = strength;
  }
  context.putImageData(pixels, 0, 0);
}
