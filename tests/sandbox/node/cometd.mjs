// A plain CometD subscriber with the replay extension: node cometd.mjs URL TOKEN REPLAY
// Prints one JSON object a line for each handshake, subscribe reply, refused connect and event. Subscribes again, from the last
// replay id it saw, after every handshake. Ends when its standard input ends.
import { CometD } from "cometd";
import { adapt } from "cometd-nodejs-client";

const [url, token, replay] = process.argv.slice(2);
const channel = "/data/ChangeEvents";
const say = (thing) => console.log(JSON.stringify(thing));
let last = Number(replay);

adapt();
const client = new CometD();
client.configure({ url: `${url}/cometd/62.0`, requestHeaders: { Authorization: `Bearer ${token}` }, appendMessageTypeToURL: false });
client.unregisterTransport("websocket");
client.registerExtension("replay", {
    outgoing(message) {
        if (message.channel === "/meta/subscribe") {
            message.ext = { replay: { [channel]: last } };
        }
        return message;
    },
});
client.addListener("/meta/handshake", (message) => {
    say({ handshake: message.successful, replay: message.ext?.replay, reason: message.ext?.sfdc?.failureReason });
    if (message.successful) {
        client.subscribe(
            channel,
            (event) => {
                last = event.data.event.replayId;
                say({ event: event.data });
            },
            (reply) => say({ subscribe: reply.successful, error: reply.error }),
        );
    }
});
client.addListener("/meta/connect", (message) => {
    if (!message.successful) {
        say({ connect: false, error: message.error });
    }
});
client.handshake();

process.stdin.on("end", () => client.disconnect(() => process.exit(0)));
process.stdin.resume();
