// The Bayeux server nobody here wrote (npm cometd-nodejs-server), dressed as Salesforce's: a replay extension, tokens, and faults.
//
//   POST /services/oauth2/token   a token; counted, or answered as scripted
//   POST /cometd/62.0             Bayeux
//   POST /control                 one JSON command, one JSON answer (see `commands`)
//
// Prints one line of JSON with its port when it is ready, and ends when its standard input does.
import http from "node:http";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const options = JSON.parse(process.argv[2] ?? "{}");
const PATH = "/cometd/62.0";

const state = {
  events: options.events ?? [], // {channel, data}, in order
  nextReplayId: options.next_replay_id ?? 1,
  tokens: new Set(),
  issued: 0,
  signIns: 0,
  signInFault: null, // {status, body, times}
  faults: [], // {channel, action, status, body, skip, times}
  seen: {}, // requests by their first message's channel
  subscribes: [], // what each subscribe asked to be replayed
  cookies: [], // the Cookie header of each Bayeux request
  refuseSubscribe: null, // error text
  hanging: [],
};

const cometd = require("cometd-nodejs-server").createCometDServer({
  timeout: options.timeout ?? 30000,
  interval: options.interval ?? 0,
  maxInterval: options.max_interval ?? 10000,
  sweepPeriod: 50,
  maxSessionsPerBrowser: -1,
});
const sessions = new Set();
cometd.addListener("sessionAdded", (session) => sessions.add(session));
cometd.addListener("sessionRemoved", (session) => sessions.delete(session));

const bearer = (request) => (request.headers.authorization ?? "").replace(/^Bearer /, "");
const asked = (message) => message.ext?.replay?.[message.subscription];
const replayError = (message) => {
  const id = asked(message);
  const known = id === undefined || id === -1 || id === -2 || (id >= (options.oldest ?? 0) && id < state.nextReplayId);
  return known ? null : `400::The replayId {${id}} you provided was invalid. Please provide a valid ID, -2 to replay all events.`;
};

cometd.addExtension({
  incoming: (_, session, message, callback) => {
    if (message.channel === "/meta/subscribe") {
      state.subscribes.push(asked(message) ?? null);
      const error = state.refuseSubscribe ?? replayError(message);
      if (error) {
        message.reply.subscription = message.subscription;
        message.reply.refusal = error;
        callback(undefined, false);
        return;
      }
    }
    callback(undefined, true);
  },
  outgoing: (_, sender, session, message, callback) => {
    if (message.refusal) {
      message.error = message.refusal;
      delete message.refusal;
    }
    if (typeof message.error === "string" && message.error.startsWith("402")) message.error = "403::Unknown client";
    callback(undefined, true);
  },
});

cometd.addListener("subscribed", (channel, session, message) => {
  const from = asked(message) ?? -1;
  if (from === -1) return;
  for (const event of state.events) {
    if (event.channel === channel.name && (from === -2 || event.data.event.replayId > from)) {
      session.deliver(null, channel.name, event.data);
    }
  }
});

// As many events as fast as they go out, a few at a time, so that connects are answered meanwhile.
function flood(channel, events, at_once) {
  const [now, later] = [events.slice(0, at_once), events.slice(at_once)];
  for (const payload of now) publish(channel, { payload });
  if (later.length) setImmediate(flood, channel, later, at_once);
}

function publish(channel, data, replayId) {
  const id = replayId ?? state.nextReplayId;
  state.nextReplayId = Math.max(state.nextReplayId, id + 1);
  const whole = { schema: "s", ...data, event: { ...(data.event ?? {}), replayId: id } };
  state.events.push({ channel, data: whole });
  cometd.createServerChannel(channel).publish(null, whole);
  return id;
}

const commands = {
  publish: ({ channel, payloads, replay_ids = [] }) => ({
    replay_ids: payloads.map((payload, i) => publish(channel, { payload }, replay_ids[i])),
  }),
  flood: ({ channel, payloads, at_once }) => (setImmediate(flood, channel, payloads, at_once), {}),
  drop_sessions: () => ({ dropped: [...sessions].map((session) => cometd._removeServerSession(session, false)).length }),
  disconnect_sessions: () => ({ dropped: [...sessions].map((session) => session.disconnect()).length }),
  refuse_subscribe: ({ error }) => ((state.refuseSubscribe = error), {}),
  revoke_tokens: () => (state.tokens.clear(), {}),
  sign_in_fault: ({ fault }) => ((state.signInFault = fault), {}),
  fault: ({ fault }) => (state.faults.push({ skip: 0, times: 1, ...fault }), {}),
  clear: () => ((state.faults.length = 0), (state.signInFault = null), (state.refuseSubscribe = null), release(), {}),
  dump: () => ({ events: state.events, next_replay_id: state.nextReplayId }),
  stats: () => ({
    seen: state.seen,
    sessions: sessions.size,
    polls: [...sessions].filter((session) => session._scheduler).length,
    subscribers: [...sessions].filter((session) => session.subscriptions.length).length,
    sign_ins: state.signIns,
    subscribes: state.subscribes,
    cookies: state.cookies,
    hanging: state.hanging.length,
  }),
};

function release() {
  for (const response of state.hanging.splice(0)) response.socket?.destroy();
}

function signIn(request, response) {
  state.signIns += 1;
  const fault = state.signInFault;
  if (fault) {
    if (fault.times !== undefined && --fault.times <= 0) state.signInFault = null;
    return json(response, fault.status, fault.body ?? {});
  }
  const token = `token-${++state.issued}`;
  state.tokens.add(token);
  json(response, 200, { access_token: token, instance_url: `http://${request.headers.host}`, token_type: "Bearer" });
}

function json(response, status, body) {
  response.writeHead(status, { "Content-Type": "application/json" });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
}

function faultFor(channel) {
  const fault = state.faults.find((one) => one.channel === channel || one.channel === "*");
  if (!fault) return null;
  if (fault.skip-- > 0) return null;
  if (fault.times !== null && --fault.times <= 0) state.faults.splice(state.faults.indexOf(fault), 1);
  return fault;
}

// The server's answer is held back from the wire, so that it can be lost after the work was done.
function swallow(response, fault) {
  const chunks = [];
  response.write = (chunk) => chunks.push(chunk);
  const end = response.end.bind(response);
  response.end = (content) => {
    const body = Buffer.from(content ?? "");
    if (fault.action === "reset_after") return response.socket?.destroy();
    response.writeHead(200, { "Content-Type": "application/json", "Content-Length": body.length });
    response.flushHeaders();
    response.socket.write(body.subarray(0, Math.floor(body.length / 2)), () => response.socket.destroy());
    return undefined;
  };
  return end;
}

function bayeux(request, response, messages) {
  const channel = messages[0].channel;
  state.seen[channel] = (state.seen[channel] ?? 0) + 1;
  state.cookies.push(request.headers.cookie ?? null);
  const fault = faultFor(channel);
  if (fault?.action === "respond") {
    const body = Array.isArray(fault.body)
      ? fault.body.map((one) => (one.channel?.startsWith("/meta/") ? { id: messages[0].id, ...one } : one))
      : fault.body;
    return json(response, fault.status ?? 200, body ?? "");
  }
  if (fault?.action === "reset_before") return response.socket.destroy();
  if (fault?.action === "hang") return state.hanging.push(response);
  if (fault) swallow(response, fault);
  if (!state.tokens.has(bearer(request)) && !fault) {
    const nested = { error: "403::Handshake denied", ext: { sfdc: { failureReason: "401::Authentication invalid" } } };
    const refusal = channel === "/meta/handshake" ? nested : { error: "401::Authentication invalid" };
    const reply = { channel, id: messages[0].id, successful: false, ...refusal };
    return json(response, 200, [{ ...reply, advice: { reconnect: "none" } }]);
  }
  request.body = messages;
  if (channel === "/meta/handshake") {
    const set = response.setHeader.bind(response);
    const pin = "sfdc-stream=!aB+c/d==; Path=/; HttpOnly"; // what a load balancer ties a client to one server with
    response.setHeader = (name, value) => set(name, name === "Set-Cookie" ? [value, pin] : value);
  }
  return cometd.handle(request, response);
}

const server = http.createServer((request, response) => {
  let text = "";
  request.on("data", (chunk) => (text += chunk));
  request.on("end", () => {
    if (request.url === "/services/oauth2/token") return signIn(request, response);
    if (request.url === "/control") {
      const { command, ...rest } = JSON.parse(text);
      return json(response, 200, commands[command](rest));
    }
    if (request.url === PATH) return bayeux(request, response, JSON.parse(text));
    return json(response, 404, "[]x");
  });
});

process.stdin.on("end", () => process.exit(0));
process.stdin.resume();
server.keepAliveTimeout = 60000;
server.listen(options.port ?? 0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
