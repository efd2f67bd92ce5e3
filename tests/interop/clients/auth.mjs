// google-auth-library by itself, old and new: a request with the account's own token.
import { createRequire } from "node:module";
const { GoogleAuth } = createRequire(process.argv[2] + "/")("google-auth-library");

const auth = new GoogleAuth({ scopes: "https://www.googleapis.com/auth/cloud-platform" });
const client = await auth.getClient();
const answer = await client.request({ url: `https://storage.googleapis.com/storage/v1/b/of-${process.env.NAME}/o/whoami?alt=media`, responseType: "text" });
console.log(client.constructor.name, typeof answer.data === "string" ? answer.data : await answer.data.text());
