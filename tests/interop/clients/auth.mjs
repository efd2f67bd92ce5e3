// google-auth-library by itself, old and new: a request with the account's own token. IMPERSONATE: by the IAM Credentials API there;
// ID_TOKEN: an ID token for a service.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
const { GoogleAuth, Impersonated, OAuth2Client } = createRequire(process.argv[2] + "/")("google-auth-library");
const scope = "https://www.googleapis.com/auth/cloud-platform";

function impersonated(endpoint) {
	const sourceClient = new OAuth2Client();
	sourceClient.setCredentials({ access_token: readFileSync(process.env.HALLPASS_HANDLE_FILE, "utf8").trim() });
	return new Impersonated({ sourceClient, targetPrincipal: process.env.SA, targetScopes: [scope], endpoint });
}

const service = "https://service.hallpass.test";
const client = process.env.ID_TOKEN ? await new GoogleAuth().getIdTokenClient(service) : process.env.IMPERSONATE ? impersonated(process.env.IMPERSONATE) : await new GoogleAuth({ scopes: scope }).getClient();
const url = process.env.ID_TOKEN ? `${service}/service/of-${process.env.NAME}` : `https://storage.googleapis.com/storage/v1/b/of-${process.env.NAME}/o/whoami?alt=media`;
const answer = await client.request({ url, responseType: "text" });
console.log(client.constructor.name, typeof answer.data === "string" ? answer.data : await answer.data.text());
