// What the programs around the clients share: the last replay id in a file, and a line for each event.
import { existsSync, readFileSync, writeFileSync } from "node:fs";

export const CHANNEL = "/data/ChangeEvents";

// The id that was kept, or -1: new events.
export const kept = (folder) => (existsSync(`${folder}/replay_id`) ? Number(readFileSync(`${folder}/replay_id`, "utf8")) : -1);
export const keep = (folder, id) => writeFileSync(`${folder}/replay_id`, String(id));
export const say = (event) => console.log(JSON.stringify({ event: event.data.payload.ChangeEventHeader.recordIds[0] }));

export const tokenOf = async (url, secrets) => {
    const body = new URLSearchParams({ grant_type: "password", ...secrets });
    const answer = await fetch(`${url}/services/oauth2/token`, { method: "POST", body });
    return (await answer.json()).access_token;
};

process.stdin.on("end", () => process.exit(0));
process.stdin.resume();
