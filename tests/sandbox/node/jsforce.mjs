// jsforce against a Salesforce: node jsforce.mjs URL CLIENT_ID CLIENT_SECRET USERNAME PASSWORD
// Signs in, reads, writes and streams, and prints what it found as one JSON object.
import "./older_node.mjs";

const { default: jsforce } = await import("jsforce");
const { StreamingExtension } = await import("jsforce/lib/api/streaming.js");

const [url, clientId, clientSecret, username, password] = process.argv.slice(2);
const found = {};

const oauth2 = { loginUrl: url, clientId, clientSecret };
const conn = new jsforce.Connection({ loginUrl: url, oauth2, version: "62.0", callOptions: { client: "jsforce" } });
const user = await conn.login(username, password);
found.organization = user.organizationId;

const contacts = await conn.query("SELECT Id, Account.Name FROM Contact ORDER BY Id", { autoFetch: true, maxFetch: 10000 });
found.contacts = contacts.records.length;
found.fields = (await conn.describe("Lead")).fields.map((field) => field.name);

const [made, refused] = await conn
    .sobject("Contact")
    .create([{ LastName: "Jay" }, { LastName: "Force", Email: "no address" }], { allOrNone: false });
found.made = made.success;
found.refused = refused.errors[0];
await conn.sobject("Contact").update({ Id: made.id, Title: "CEO" });
found.title = (await conn.sobject("Contact").retrieve(made.id)).Title;
await conn.sobject("Contact").destroy(made.id);
found.deleted = (await conn.query("SELECT Id FROM Contact WHERE IsDeleted = true", { scanAll: true })).totalSize;
try {
    await conn.query("SELECT Nope FROM Contact");
} catch (error) {
    found.badQuery = error.errorCode ?? error.name;
}

const bulk = await conn.bulk2.query("SELECT Id, Title, HasOptedOutOfEmail FROM Contact", { pollInterval: 50, pollTimeout: 20000 });
const inBulk = await bulk.toArray();
found.bulk = new Set(inBulk.map((record) => record.Id).filter((id) => id.startsWith("003"))).size;
found.titled = inBulk.find((record) => record.Title.includes("lines"));
try {
    await conn.bulk2.query("SELECT COUNT() FROM Contact");
} catch (error) {
    found.badBulk = error.message;
}
const deletedInBulk = await conn.bulk2.query("SELECT Id FROM Contact WHERE IsDeleted = true", { scanAll: true, pollInterval: 50 });
found.deletedInBulk = (await deletedInBulk.toArray()).length;
found.usage = conn.limitInfo.apiUsage;

const channel = "/data/ContactChangeEvent";
const events = [];
const client = conn.streaming.createClient([new StreamingExtension.Replay(channel, -2)]);
await new Promise((resolve) => {
    client.subscribe(channel, (event) => {
        events.push(event.payload.ChangeEventHeader.changeType);
        found.origin = event.payload.ChangeEventHeader.changeOrigin;
        if (events.length === 3) {
            resolve();
        }
    });
});
found.events = events;
await client.disconnect();
console.log(JSON.stringify(found));
process.exit(0);
