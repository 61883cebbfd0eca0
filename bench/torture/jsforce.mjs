// npm jsforce under torture: node jsforce.mjs URL FOLDER SECRETS
//
// As its documentation shows it (jsforce/lib/api/streaming.js, "Example with extensions, using Replay & Auth Failure extensions in a
// server-side Node.js app"): the replay extension keeps the last id, the auth failure extension ends the program, which is started
// again. A subscription that is refused ends it, too, where Faye tells of it (Faye, "Subscribing to channels": errback).
import "../../tests/sandbox/node/older_node.mjs";
import { CHANNEL, keep, kept, say } from "./program.mjs";

const { default: jsforce } = await import("jsforce");
const { StreamingExtension } = await import("jsforce/lib/api/streaming.js");

const [url, folder, secrets] = process.argv.slice(2);
const { client_id: clientId, client_secret: clientSecret, username, password } = JSON.parse(secrets);

const conn = new jsforce.Connection({ loginUrl: url, oauth2: { loginUrl: url, clientId, clientSecret }, version: "62.0" });
await conn.login(username, password);
const end = () => process.exit(1);
const client = conn.streaming.createClient([
    new StreamingExtension.AuthFailure(end),
    new StreamingExtension.Replay(CHANNEL, kept(folder)),
]);
const received = (event) => {
    keep(folder, event.event.replayId);
    say({ data: event });
};
client.subscribe(CHANNEL, received).errback(end);
