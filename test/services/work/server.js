// A web server of several processes that share one port. SIGHUP: new processes take over, the old ones end in order.
//
//     node server.js PORT PROCESSES
'use strict';
const cluster = require('cluster');
const crypto = require('crypto');
const http = require('http');
const zlib = require('zlib');

const port = Number(process.argv[2]);
const processes = Number(process.argv[3]);

function table(count) {
    return Array.from({length: count}, (_, i) => ({number: i, name: 'n' + (i * 7919) % 1009, words: ('w' + i + ' ').repeat(i % 9).split(' ')}));
}

// Buffers and the state of zlib and of digests are memory from malloc; strings and objects are in V8's own heap.
const paths = {
    json: (query, body, done) => done(JSON.stringify(JSON.parse(JSON.stringify(table(Number(query)))))),
    digest: (query, body, done) => {
        const all = ['md5', 'sha256', 'sha512'].map((kind) => crypto.createHash(kind).update(body).update(query).digest('hex'));
        done(all.join('\n'));
    },
    buffers: (query, body, done) => {
        const parts = [];
        for (let i = 1; i < Number(query); i++)
            parts.push(Buffer.alloc(i * 37 % 9000, i & 255), Buffer.from(String(i).repeat(i % 50)));
        done(crypto.createHash('sha256').update(Buffer.concat(parts)).digest('hex'));
    },
    gzip: (query, body, done) => {
        // On the threads of libuv.
        zlib.gzip(JSON.stringify(table(Number(query))), {level: 6}, (fault, packed) => {
            if (fault)
                throw fault;
            zlib.gunzip(packed, (fault2, text) => {
                if (fault2)
                    throw fault2;
                done(packed.length + ' ' + crypto.createHash('md5').update(text).digest('hex'));
            });
        });
    },
    key: (query, body, done) => {
        crypto.pbkdf2(query, 'salt', 500, 64, 'sha512', (fault, key) => {
            if (fault)
                throw fault;
            done(key.toString('hex'));
        });
    },
};

function answer(request, response) {
    const [path, query = ''] = request.url.slice(1).split('?');
    const parts = [];
    request.on('data', (part) => parts.push(part));
    request.on('end', () => {
        const send = (status, text) => {
            const bytes = Buffer.from(text);
            response.writeHead(status, {'Content-Type': 'text/plain', 'Content-Length': bytes.length});
            response.end(bytes);
        };
        if (paths[path])
            paths[path](query, Buffer.concat(parts), (text) => send(200, text));
        else
            send(404, 'there is no ' + path);
    });
}

function main() {
    let workers = [];
    let isEnding = false;
    const begin = () => {
        workers = Array.from({length: processes}, () => cluster.fork());
    };
    cluster.on('exit', (worker, code, signal) => {
        if (code !== 0)
            console.log(`process ${worker.process.pid} was terminated by signal: ${signal}, exit status ${code}`);
        if (isEnding && Object.keys(cluster.workers).length === 0)
            process.exit(0);
    });
    begin();
    process.on('SIGHUP', () => {
        const old = workers;
        begin();
        let listening = 0;
        for (const worker of workers) {
            worker.on('listening', () => {
                listening++;
                if (listening === processes)
                    old.forEach((one) => one.disconnect());
            });
        }
    });
    process.on('SIGTERM', () => {
        isEnding = true;
        cluster.disconnect();
    });
}

if (cluster.isPrimary) {
    main();
} else {
    // The master says when to end; a terminal's signals are for it too.
    process.on('SIGHUP', () => {});
    process.on('SIGTERM', () => {});
    http.createServer(answer).listen(port, '127.0.0.1', 512);
}
