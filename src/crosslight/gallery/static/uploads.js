// Pictures before they are sent: opened, cut, shrunk to what a search can use.

const FORM_BYTES = 4096; // what a form needs beside its pictures
export const LONGEST_PX = 1600; // of a picture that people are looked for in
const WHOLE_BYTES = 2 ** 20; // a smaller file is sent as it is
const CROP = { pixels: 400 * 800, upright: 1.4 }; // a picture as small and narrow shows one person
const mib = (bytes) => `${+(bytes / 2 ** 20).toPrecision(3)} MiB`;

/** Why files cannot be sent together, or null. */
export function tooLarge(files, gallery) {
  const bytes = files.reduce((sum, file) => sum + file.size, 0);
  if (bytes <= gallery.upload_bytes - FORM_BYTES) return null;
  const [subject, wanted] = files.length > 1 ? ["The pictures have", "smaller ones"] : ["The picture has", "a smaller one"];
  return `${subject} ${mib(bytes)}, more than the ${mib(gallery.upload_bytes)} that are accepted; send ${wanted}.`;
}

/** The picture of a file, upright; null where the browser cannot read it, TIFF for one, though the service may. */
export async function opened(file) {
  try { return await createImageBitmap(file, { imageOrientation: "from-image" }); } catch { return null; }
}

export const isCrop = (picture) =>
  picture.width * picture.height <= CROP.pixels && picture.height >= CROP.upright * picture.width;

export const whole = (picture) => ({ left: 0, top: 0, right: picture.width, bottom: picture.height });

/** The file, or a smaller JPEG of its picture where it is larger than a search can use. */
export async function sendable(file, picture, gallery) {
  const small = file.size <= WHOLE_BYTES && Math.max(picture.width, picture.height) <= LONGEST_PX;
  return small && !tooLarge([file], gallery) ? file : cut(picture, whole(picture), gallery);
}

/** A part of a picture as a JPEG that may be sent; a part is never enlarged. */
export async function cut(picture, { left, top, right, bottom }, gallery) {
  const [width, height] = [Math.max(1, right - left), Math.max(1, bottom - top)];
  let [longest, file] = [LONGEST_PX, null];
  do {
    const scale = Math.min(1, longest / Math.max(width, height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, left, top, width, height, 0, 0, canvas.width, canvas.height);
    file = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
    longest /= 1.5;
  } while (tooLarge([file], gallery) && longest > 64);
  return file;
}
