// npm cometd under torture: node cometd.mjs URL FOLDER SECRETS
//
// As its documentation shows it (CometD Reference Book, "JavaScript Library": configure, a /meta/handshake listener that subscribes,
// an extension), with Salesforce's replay extension (SalesforceDurableStreamingDemo, cometdReplayExtension.resource), which keeps the
// last id. What the library tells of as a failure that it will not mend by itself ends the program, which is started again.
import { CometD } from "cometd";
import { adapt } from "cometd-nodejs-client";
import { CHANNEL, keep, kept, say, tokenOf } from "./program.mjs";

const [url, folder, secrets] = process.argv.slice(2);
let last = kept(folder);

adapt();
const client = new CometD();
client.configure({
    url: `${url}/cometd/62.0`,
    requestHeaders: { Authorization: `Bearer ${await tokenOf(url, JSON.parse(secrets))}` },
    appendMessageTypeToURL: false,
    logLevel: "error",
});
client.unregisterTransport("websocket");
client.registerExtension("replay", {
    outgoing(message) {
        if (message.channel === "/meta/subscribe") {
            message.ext = { replay: { [CHANNEL]: last } };
        }
        return message;
    },
    incoming(message) {
        const id = message.channel === CHANNEL && message.data?.event?.replayId;
        if (id) {
            last = id;
            keep(folder, id);
        }
        return message;
    },
});
const endIfRefused = (message) => {
    if (!message.successful && message.advice?.reconnect === "none") {
        process.exit(1);
    }
};
client.addListener("/meta/handshake", (message) => {
    endIfRefused(message);
    if (message.successful) {
        client.subscribe(CHANNEL, say, (reply) => reply.successful || process.exit(1));
    }
});
client.addListener("/meta/connect", endIfRefused);
client.handshake();
