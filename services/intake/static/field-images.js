/* Field app: shrink photos before they are stored, and draw thumbnails. */
"use strict";

((app) => {
  const SIDE_MAX = 1600;
  const PIXELS_MAX = 16_700_000;
  const JPEG_QUALITY = 0.8;
  const THUMB_SIDE = 96;
  const THUMB_QUALITY = 0.6;
  const SAMPLES_PER_SIDE = 8;

  function scaleFor({ width, height }) {
    const bySide = SIDE_MAX / Math.max(width, height);
    const byPixels = Math.sqrt(PIXELS_MAX / (width * height));
    return Math.min(1, bySide, byPixels);
  }

  async function decode(file) {
    const original = await createImageBitmap(file);
    const scale = scaleFor(original);
    if (scale === 1) return original;
    return createImageBitmap(file, {
      resizeWidth: Math.round(original.width * scale),
      resizeHeight: Math.round(original.height * scale),
      resizeQuality: "high",
    });
  }

  function drawn(bitmap) {
    const { width, height } = bitmap;
    const canvas = app.dom.make("canvas", { width, height });
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    return canvas;
  }

  /** Whether all samples have the same colour: some browsers draw a blank for a large picture. */
  function isBlank(canvas) {
    const context = canvas.getContext("2d");
    const colours = new Set();
    for (let row = 0; row < SAMPLES_PER_SIDE; row++) {
      for (let column = 0; column < SAMPLES_PER_SIDE; column++) {
        const x = Math.floor(((column + 0.5) * canvas.width) / SAMPLES_PER_SIDE);
        const y = Math.floor(((row + 0.5) * canvas.height) / SAMPLES_PER_SIDE);
        colours.add(context.getImageData(x, y, 1, 1).data.join());
      }
    }
    return colours.size === 1;
  }

  /** The photo as a JPEG of at most 1600 px a side, or the file itself if drawing fails.
      Throws a sentence for a file that is no picture. */
  async function shrink(file) {
    let bitmap;
    try {
      bitmap = await decode(file);
    } catch {
      throw new Error("这张图片已损坏或格式不支持，请重新拍摄");
    }
    const canvas = drawn(bitmap);
    if (isBlank(canvas)) return file;
    return new Promise((resolve) => {
      canvas.toBlob((blob) => resolve(blob ?? file), "image/jpeg", JPEG_QUALITY);
    });
  }

  async function thumbnail(blob) {
    const bitmap = await createImageBitmap(blob, {
      resizeWidth: THUMB_SIDE,
      resizeHeight: THUMB_SIDE,
      resizeQuality: "medium",
    });
    return drawn(bitmap).toDataURL("image/jpeg", THUMB_QUALITY);
  }

  app.images = { shrink, thumbnail };
})(window.fieldApp);
