// Buffers, maps, JSON, typed arrays, streams, worker threads, child processes.
'use strict';
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const { execFileSync, spawn } = require('child_process');
const crypto = require('crypto');
const zlib = require('zlib');

let seed = 1;
function draw(below) {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % below;
}

function digest(data) {
    return crypto.createHash('sha256').update(data).digest('hex').slice(0, 16);
}

function buffers(rounds) {
    const live = new Array(200).fill(null);
    let total = 0;
    for (let i = 0; i < rounds; i++) {
        const slot = draw(live.length);
        const size = [30, 500, 5000, 20000, 200000, 1500000][draw(6)] + draw(100);
        live[slot] = i % 3 === 0 ? Buffer.allocUnsafe(size).fill(i % 256) : Buffer.alloc(size, i % 256);
        total += live[slot][size - 1];
        if (i % 50 === 0) total += Buffer.concat(live.filter((b) => b !== null && b.length < 10000)).length;
    }
    return total;
}

function maps(rounds) {
    const map = new Map();
    const set = new Set();
    for (let i = 0; i < rounds; i++) {
        const key = 'key' + draw(5000);
        if (draw(3) === 0) map.delete(key);
        else map.set(key, { i, list: Array.from({ length: draw(10) }, (_, k) => k * i) });
        set.add(key + draw(10));
    }
    const text = JSON.stringify([...map].sort());
    return [map.size, set.size, digest(text), digest(JSON.stringify(JSON.parse(text), null, 2))];
}

function work(number, rounds) {
    seed = number;
    return { number, maps: maps(rounds), buffer: new Uint8Array(100000).fill(number) };
}

function inWorker(number, rounds) {
    return new Promise((resolve, reject) => {
        const worker = new Worker(__filename, { workerData: { number, rounds } });
        worker.on('message', resolve);
        worker.on('error', reject);
    });
}

function compress(data) {
    return new Promise((resolve, reject) => zlib.deflate(data, (error, out) => (error ? reject(error) : resolve(digest(zlib.inflateSync(out))))));
}

function echo(text) {
    return new Promise((resolve, reject) => {
        const child = spawn('cat');
        let out = '';
        child.stdout.on('data', (data) => { out += data; });
        child.on('error', reject);
        child.on('close', (code) => resolve([code, digest(out)]));
        child.stdin.end(text);
    });
}

async function main() {
    const scale = Number(process.argv[2]);
    console.log('buffers', buffers(500 * scale));
    console.log('maps', maps(15000 * scale));
    const numbers = new Float64Array(200000 * scale).map((_, i) => Math.sin(i));
    console.log('numbers', numbers.sort().subarray(0, 3));
    for (let round = 0; round < scale; round++) {
        const answers = await Promise.all([1, 2, 3, 4].map((number) => inWorker(number, 3000)));
        for (const answer of answers) console.log('worker', answer.number, answer.maps, answer.buffer.reduce((a, b) => a + b));
    }
    const packed = await Promise.all(Array.from({ length: 12 }, (_, i) => compress(Buffer.alloc(100000 + i * 1000, 'abc' + i))));
    console.log('packed', packed.join(' '));
    console.log('child', execFileSync(process.execPath, ['-e', 'console.log([1,2,3].map((x) => "y".repeat(x * 1000)).join("").length)']).toString().trim());
    console.log('echo', await Promise.all(Array.from({ length: 5 }, (_, i) => echo('text '.repeat(i * 5000)))));
}

if (isMainThread) {
    main().catch((error) => { console.error(error); process.exit(1); });
} else {
    const answer = work(workerData.number, workerData.rounds);
    parentPort.postMessage(answer, [answer.buffer.buffer]);
}
