// @google-cloud/storage: whose bucket, and who reads it.
import { createRequire } from "node:module";
const { Storage } = createRequire(process.env.CACHE + "/node/")("@google-cloud/storage");

const bucket = new Storage().bucket("of-" + process.env.NAME);
await bucket.file("note").save("written by Node", { resumable: false });
const [note] = await bucket.file("note").download();
if (note.toString() !== "written by Node") throw new Error(note.toString());
const [who] = await bucket.file("whoami").download();
console.log(who.toString());
