// What jsforce needs of a newer Node. Import it before jsforce, which is then imported with `await import(…)`.
import buffer from "node:buffer";
import worker from "node:worker_threads";
import zlib from "node:zlib";

// jsforce's HTTP client is made for Node 22; on Node 18 (Debian 12) and 20 it needs these.
globalThis.File ??= buffer.File;
String.prototype.toWellFormed ??= function () {
    return String(this);
};
ReadableStream.from ??= (source) => {
    const steps = source[Symbol.asyncIterator]?.() ?? source[Symbol.iterator]();
    const pull = async (stream) => {
        const { done, value } = await steps.next();
        done ? stream.close() : stream.enqueue(value);
    };
    return new ReadableStream({ pull });
};
worker.markAsUncloneable ??= () => {};
Promise.withResolvers ??= () => {
    const parts = {};
    parts.promise = new Promise((resolve, reject) => Object.assign(parts, { resolve, reject }));
    return parts;
};
zlib.createZstdDecompress ??= () => {
    throw new Error("this Node knows no zstd");
};
