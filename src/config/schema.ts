import { z } from 'zod'
import { surfaceNames } from '../gateway/surface.js'
import { parseEndpoint } from '../transport/endpoint.js'
import { proxyTrust } from '../transport/forwarded.js'
import { identityEntry } from './identity/entry.js'
import { cdnOff, drops } from './schema-drops.js'
import { jobs } from './schema-jobs.js'
import { mail } from './schema-mail.js'
import { privsep, unixName } from './schema-privsep.js'
import { bytes, flag, grant, listOf, objectOf, oneOf, pattern, text, whole } from './schema-parts.js'
import { transfers } from './schema-transfers.js'
import { catalog, folder, mounts, secret } from './schema-stores.js'
import { webhooks } from './schema-webhooks.js'
import { tokenHash } from './token-hash.js'

const endpoint = text.refine(
  (value) => parseEndpoint(value) !== undefined,
  'must be HOST:PORT, unix:PATH, systemd or systemd:NAME',
)

const socketMode = z
  .string({ error: 'must be an octal mode in quotes, such as "660"' })
  .regex(/^0?[0-7]{3}$/, 'must be an octal mode in quotes, such as "660"')

const webOrigin = text.refine(
  (value) => URL.canParse(value) && new URL(value).origin === value.toLowerCase(),
  'must be an origin such as https://files.example.org: scheme and host, no path, no slash at the end',
)

const hostName = text.regex(
  /^(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])$/i,
  'must be a name or an address without a port, such as files.example.org or [::1]',
)

const bucketName = text.regex(
  /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/,
  'must be a name of a bucket: 3 to 63 lower-case letters, digits, dots and hyphens',
)

const foreignOrigin = text.refine(
  (value) => value === 'null' || /^[a-z][a-z0-9+.-]*:\/\/[^/?#*\s]+$/i.test(value),
  'must be an exact origin such as https://app.example.org',
)

const listener = z.union(
  [
    endpoint,
    objectOf({
      at: endpoint,
      surfaces: listOf(oneOf(...surfaceNames)).optional(),
      tls: flag.optional(),
      mode: socketMode.optional(),
    }),
  ],
  { error: 'must be HOST:PORT, unix:PATH, systemd or { at: HOST:PORT, surfaces: [http], tls: false }' },
)

/** A field name (RFC 9110 §5.1) that means nothing else: what is read for another purpose may be logged or passed on. */
function isLockHeader(name: string): boolean {
  const others =
    /^(?:accept.*|authorization|connection|content-.*|cookie|date|depth|destination|expect|forwarded|host|if|if-.*|lock-token|origin|overwrite|proxy-.*|range|referer|sec-.*|te|timeout|trailer|transfer-encoding|upgrade|user-agent|via|x-api-.*|x-forwarded-.*)$/i
  return /^[A-Za-z0-9-]{1,64}$/.test(name) && !others.test(name)
}

function rate(requests: number) {
  return objectOf({
    requestsPerSecond: whole(0, 1_000_000).default(requests),
    bytesPerSecond: whole(0, 1_000_000_000_000).default(0),
  }).prefault({})
}

/** Everything that `postern.yaml` can hold. Each key says in its own words what it is for: `docs/config.md` is made of this. */
export const configSchema = objectOf({
  listen: z
    .preprocess((value) => (typeof value === 'string' ? [value] : value), listOf(listener).min(1, 'must not be empty'))
    .default(['127.0.0.1:8080'])
    .meta({
      type: 'list of HOST:PORT, unix:PATH, systemd, systemd:NAME or { at, surfaces, tls, mode }',
      description:
        'Where to listen. Port 0 picks a free one. `systemd` stands for the sockets that a systemd socket unit hands over, `systemd:NAME` for those of one `FileDescriptorName`. `surfaces` limits a listener to some of `webdav`, `http`, `s3` and `drop`; without it all answer. `tls: false` keeps one listener plain where `tls` is set. `mode` is who may use a Unix socket, such as "660"; without it the umask decides.',
      example: '["127.0.0.1:8080", { at: "unix:/run/postern.sock", surfaces: [http] }]',
    }),
  root: text
    .default('./data')
    .meta({ type: 'path', description: 'The directory that is served. It is made if missing.', example: '/srv/files' }),
  mounts: mounts.meta({
    type: 'list of { path, local | s3, readOnly, maxFileBytes, durability, symlinks, selfTest, privsep }',
    default: 'one: the root, at /',
    description:
      'Several stores in one tree, instead of `root`. `path` is where in the tree; `local` a directory, or `s3` a bucket: `s3://BUCKET/PREFIX?region=…` with `endpoint`, `role_arn` and others as in docs/stores.md. Credentials are found as AWS tools find them. `readOnly` refuses every change, `maxFileBytes` larger files. `selfTest: false` does without the test at the start that writes, reads and removes an object, where a role may not do that. `privsep: false` has a directory served by the server’s own user where `privsep` is on for the others. Where none is at /, the root has nothing but the mounts.',
    example:
      '[{ path: /, local: ./data }, { path: /archive, s3: "s3://bucket/prefix?region=eu-west-1", readOnly: true }]',
  }),
  catalog: catalog.meta({
    type: '{ postgres, poolSize } or { dynamodb: { table, region, endpoint } }',
    default: 'a file in the state directory (SQLite)',
    description:
      'Where users, keys, locks and properties are kept. With a shared one, any number of instances over the same stores are one server: PostgreSQL (`postgres://USER:PASSWORD@HOST/DATABASE`; what is left out is taken from `PGHOST`, `PGPORT`, `PGUSER`, `PGPASSWORD`, `PGDATABASE`, `PGSSLMODE` and `PGSSLROOTCERT`), Aurora DSQL (`dsql://ID.dsql.REGION.on.aws`, by the role of the process) or a DynamoDB table. `postern migrate` shows and makes the tables. It needs a `secret`.',
    example: '{ postgres: "postgres://postern:secret@db.example.org/postern" }',
  }),
  secret: secret.meta({
    type: '{ file }, { env } or { kms: { ciphertext, region } }',
    default: 'made and kept in the state directory',
    description:
      'The secret of the installation, which seals keys and sessions: 32 bytes, as 64 hexadecimal digits or as base64 (`openssl rand -base64 32`). All instances over one catalog need the same. `kms`: its ciphertext under an AWS key, as base64.',
    example: '{ env: FILES_SECRET }',
  }),
  state: text.optional().meta({
    type: 'path',
    default: 'the root with `.postern` added, beside it',
    description:
      'Where Postern keeps users, locks, properties and its secret, and the audit log. Never inside the root. On a local disk, not on NFS. With a shared `catalog` only the audit log and a self-signed certificate are there; where it cannot be made, audit lines go to the log.',
    example: '/var/lib/postern',
  }),
  durability: oneOf('full', 'fast').default('full').meta({
    type: '`full` or `fast`',
    description:
      '`full`: what was answered with success survives a power cut. `fast`: it survives a crash of Postern; the kernel decides when it reaches the disk.',
    example: 'fast',
  }),
  workers: whole(1, 64).default(1).meta({
    type: 'number',
    description:
      'How many processes answer, sharing all listeners. More than one adds a process that looks after them. Limits of connections hold for each.',
    example: '2',
  }),
  symlinks: oneOf('absent', 'inside').default('absent').meta({
    type: '`absent` or `inside`',
    description:
      'What symbolic links are: `absent` treats them as not there; `inside` follows those that stay under the root.',
    example: 'inside',
  }),
  privsep: privsep.meta({
    type: 'true, false or { user, authUser, records, runtime, minimumUid, maximumUid, allowedGroups, umask, ticketSeconds, workers }',
    default: 'false: one user does everything',
    description:
      'Privilege separation (Linux, started by root; see docs/privsep.md): every caller acts on the files as a Unix user, in a process of that user. `user` is whom the process on the network runs as (`postern`, else `nobody`), `authUser` the one that knows all callers (`postern-auth`, else a number that no account has). `records` is where locks, properties and uploads are kept (the state with `-records` added), `runtime` where the processes meet (`/run/postern-…`). Nobody acts as a user below `minimumUid` (1000) or above `maximumUid` (60000), as root or with its group, or, where `allowedGroups` is not empty, without one of those groups. `umask` ("022") holds for what they make. `ticketSeconds` (900): for so long after a login the process on the network may act for its user. `workers`: at most `max` (64) processes of users, each ended after `idleSeconds` (300) without work, or above `memory` (512M). In `root` and in `local` of a mount `{user}` and a leading `{home}` stand for the Unix user and its home directory.',
    example: '{ umask: "002", allowedGroups: [staff] }',
  }),
  publicOrigins: listOf(webOrigin).default([]).meta({
    type: 'list of origins',
    description:
      'Under which origins clients know this server, where a proxy stands before it. `Destination` headers and browser requests are judged against them.',
    example: '["https://files.example.org"]',
  }),
  hosts: listOf(hostName).default([]).meta({
    type: 'list of names and addresses',
    default: 'any',
    description:
      'Which hosts requests may ask for, on whatever port; others are answered 400. Name them where browsers reach a server without TLS, or one that lets callers in without a login: a page elsewhere can then not come in by a name of its own that leads here (DNS rebinding). Behind a trusted proxy the host that it names counts. `/-/health` and `/-/ready` answer to any name.',
    example: '[files.example.org, 192.168.1.5]',
  }),
  basePath: z
    .string({ error: 'must be text' })
    .refine(
      (value) => value === '' || /^(?:\/[A-Za-z0-9._~-]+)+$/.test(value),
      'must be empty or like /files, without a slash at the end',
    )
    .default('')
    .meta({
      type: 'path',
      description:
        'The path below which clients know this server, where a proxy gives it a part of its own namespace. Links in answers begin with it; requests may come with it or stripped of it.',
      example: '/files',
    }),
  trustedProxies: listOf(
    text.refine(
      (value) => proxyTrust([value], 'auto') !== undefined,
      'must be an address, a network such as 10.0.0.0/8, or unix',
    ),
  )
    .default([])
    .meta({
      type: 'list of addresses, networks and `unix`',
      description:
        'Proxies whose word on the client counts: its address, scheme and host. `unix` stands for every Unix socket.',
      example: '["127.0.0.1/32", "fd00::/8"]',
    }),
  proxyHeaders: oneOf('auto', 'x-forwarded', 'forwarded').default('auto').meta({
    type: '`auto`, `x-forwarded` or `forwarded`',
    description:
      'Which headers of a trusted proxy are read. `auto` takes the X-Forwarded family where any of it is there, else Forwarded (RFC 7239). Set `forwarded` where the proxy writes only that one, for it lets the others through.',
    example: 'forwarded',
  }),
  identity: listOf(identityEntry).min(1, 'must not be empty').default(['catalog']).meta({
    type: 'list of sources',
    description:
      'Who knows the callers, in the order in which they are asked. `catalog`: what `postern user add`, `key issue` and `token create` have made.',
    example: '[catalog]',
  }),
  anonymous: objectOf({ grants: listOf(grant), unixUser: unixName.optional() })
    .optional()
    .meta({
      type: '{ grants, unixUser }',
      default: 'none: everybody needs a login',
      description:
        'What callers without a login may do, and under privilege separation the Unix user that they act as.',
      example: '{ grants: ["r:/public/**"] }',
    }),
  basicRealm: text
    .regex(/^[\x20-\x7e]*$/, 'must be printable ASCII')
    .default('Postern')
    .meta({
      type: 'text',
      description: 'The realm that clients show when they ask for a password.',
      example: 'private area',
    }),
  uniform403: flag.default(false).meta({
    type: 'true or false',
    description:
      'Answer 403 both to unknown callers and to known ones without the right, instead of 401 and 403. Programs that wait to be asked for a password are then never asked.',
    example: 'true',
  }),
  originLock: objectOf({
    header: text.refine(isLockHeader, 'must be the name of a header of its own, such as x-cdn-authorization'),
    sha256: listOf(tokenHash).min(1, 'must not be empty').max(10, 'must not be more than 10'),
  })
    .optional()
    .meta({
      type: '{ header, sha256 }',
      default: 'none: anybody may ask',
      description:
        'Closes the direct way to a server behind a CDN: every request, on every listener, must bring `header` with the value `Bearer TOKEN`, or it is answered 403 before any login is looked at. `sha256` has the hash of the token, as base64 or lower-case hex; two while one token is replaced by another. `/-/health` and `/-/ready` need it not.',
      example: '{ header: x-cdn-authorization, sha256: ["ZoVpVANnsemHCEujDKj+YQWyijBB0fwTDH0HFM2eRDQ="] }',
    }),
  rateLimits: objectOf({
    address: rate(2000),
    identity: rate(0),
  })
    .prefault({})
    .meta({
      type: '{ address: { requestsPerSecond, bytesPerSecond }, identity: { requestsPerSecond, bytesPerSecond } }',
      default:
        '{ address: { requestsPerSecond: 2000, bytesPerSecond: 0 }, identity: { requestsPerSecond: 0, bytesPerSecond: 0 } }',
      description:
        'What each address (or IPv6 /64 network) and each identity may use on average over ten seconds, all workers and instances together; 0 is without limit. Bytes are those of bodies in both directions, and count when they have gone. Who uses more is answered 429 with Retry-After. Loopback and trusted proxies are not limited by address.',
      example: '{ identity: { requestsPerSecond: 100, bytesPerSecond: 50000000 } }',
    }),
  uploads: listOf(objectOf({ path: pattern, bytes }))
    .default([])
    .meta({
      type: 'list of { path, bytes }',
      default: 'any size',
      description:
        'How large the files are that may be uploaded, by whoever it is: `path` is a pattern as in a grant, `bytes` a number or text such as 10M. Where several name a path the smallest counts. More is answered 413. A grant may have a size of its own: `create<=10M:/inbox/**`.',
      example: '[{ path: "/inbox/**", bytes: 10M }]',
    }),
  s3: objectOf({
    hosts: listOf(hostName).default([]),
    region: text.regex(/^[a-z0-9-]{1,63}$/, 'must be like eu-central-1').optional(),
    buckets: z.record(bucketName, folder, { error: 'must be a group of NAME: /FOLDER' }).default({}),
    uploadDays: whole(1, 365).default(7),
  })
    .prefault({})
    .meta({
      type: '{ hosts, region, buckets, uploadDays }',
      default: '{ hosts: [], region: us-east-1, buckets: {}, uploadDays: 7 }',
      description:
        'The S3 API. `hosts`: names at which every request is one of S3, unsigned ones too; a name in front of one of them is a bucket (`photos.s3.example.org`). `region`: the only one that signatures may name; without it any will do, and clients that ask are told us-east-1. `buckets`: names for folders that are buckets without lying at the top; every folder at the top is one by its own name. `uploadDays`: multipart uploads that get no part for so long are given up.',
      example: '{ hosts: [s3.example.org], buckets: { photos: /home/ann/photos } }',
    }),
  drops: drops.meta({
    type: 'list of { path, to, limit, large, types, name, tokens, public, page, notify, cdn }',
    description:
      'Paths at which files can be left and nothing can be seen (docs/drops.md): `POST` to `path` makes a file in the folder `to`. `limit` is the most bytes of a drop (10240), `large` those of a file that a bearer of a token puts into the bucket itself (none without it, 5G at most), `types` which media types it may have. `name` is made of {time}, {date}, {uuid}, {token}, {name} and {extension}; `{time}-{uuid}` by default. `tokens`: { name, sha256, limit, to, types } each, `to` below the folder of the drop; two hashes while one token is replaced by another. Whoever may create there by other means may drop too; `public: true` lets in everybody. `page: true` shows browsers a page from which files can be sent. `notify`: { mail, webhook } tells addresses and a webhook by its name of each drop. `cdn: off` does without the header of `originLock` for this drop.',
    example:
      '[{ path: /v1/drop, to: /inbox, limit: 1M, tokens: [{ name: sensor, sha256: "ZoVpVANnsemHCEujDKj+YQWyijBB0fwTDH0HFM2eRDQ=" }] }]',
  }),
  cdn: cdnOff.optional().meta({
    type: 'off',
    default: 'drops want the header of the CDN where one is set',
    description:
      'Says that no CDN stands before the drops: they do without its header, and `AUTH_TOKEN` of the environment may be alone.',
    example: 'off',
  }),
  cors: objectOf({ origins: listOf(foreignOrigin), maxAgeSeconds: whole(0, 86_400).default(600) })
    .optional()
    .meta({
      type: '{ origins, maxAgeSeconds }',
      default: 'none',
      description:
        'Exact origins of web pages and apps that may use this server from a browser. `maxAgeSeconds` is how long a browser may remember that (600 by default).',
      example: '{ origins: ["app://obsidian.md", "capacitor://localhost"] }',
    }),
  transfers: transfers.meta({
    type: '{ redirectOver, mostPart }',
    default: '{}',
    description:
      'Large files where the way through this server is narrow (docs/uploads.md). `redirectOver`: a GET over HTTP of more bytes is answered 307 with a URL at the storage service, good for 5 minutes; only where files lie in S3, and for none without it. `mostPart`: the largest part of an upload (`/-/uploads`) that comes through this server, as what stands before it may take no more; on AWS Lambda both are set.',
    example: '{ redirectOver: 100M }',
  }),
  events: objectOf({ keepSeconds: whole(60, 86_400).default(3600) })
    .prefault({})
    .meta({
      type: '{ keepSeconds }',
      default: '{ keepSeconds: 3600 }',
      description:
        'What is told live of changes to the files (`/-/events`, see docs/events.md). `keepSeconds`: for so long a program that was away can go on where it was, with several processes or instances; one process alone remembers the last thousands.',
      example: '{ keepSeconds: 600 }',
    }),
  webhooks: webhooks.meta({
    type: 'list of { name, url, secret, below, kinds }',
    description:
      'Who is told of changes to the files by a request (docs/events.md): `POST` of JSON to `url`, signed with `secret` (`whsec_…`, { env: NAME } or { file: FILE }) as Standard Webhooks has it, tried again for three days. `below` names a folder (all by default), `kinds` some of created, changed, removed and moved.',
    example: '[{ name: index, url: "https://search.example.org/files", secret: { env: INDEX_SECRET }, below: /docs }]',
  }),
  mail: mail.meta({
    type: '{ from, smtp, ses, templates }',
    default: 'none: nothing is sent',
    description:
      'How mails go out. `from` is the sender. `smtp`: a server as `smtp://USER@HOST:587` (STARTTLS, or nothing is sent) or `smtps://USER@HOST:465`; or { url, password, tls } with `password` as { env: NAME } or { file: FILE }, and `tls: never` for a server on this machine. `ses`: { region } for Amazon SES by the role of the process. `templates` is a folder with texts of your own (docs/mail.md).',
    example: '{ from: "Files <files@example.org>", smtp: "smtps://files@mail.example.org" }',
  }),
  jobs: jobs.meta({
    type: '{ disabled, auditExport }, or off',
    default: 'all are done by the server',
    description:
      'What the server does beside requests (docs/jobs.md). `disabled` names jobs that it does not begin by itself, `off` stands for all: then `postern jobs run` does them, by a timer of yours. `auditExport`: { to } puts the audit log into a folder of the tree, day by day; nobody may read that folder without a login.',
    example: '{ disabled: [leftovers], auditExport: { to: /admin/audit } }',
  }),
  hideQuotaFrom: listOf(text).default(['WebDAVFS']).meta({
    type: 'list of texts',
    description:
      'Beginnings of user agents that are told nothing of used and free space over WebDAV: some releases of macOS wait for a minute and a half after such an answer. Empty: everybody is told.',
    example: '[]',
  }),
  tls: z
    .union([z.literal('self-signed'), objectOf({ cert: text, key: text })], {
      error: 'must be self-signed or { cert: FILE, key: FILE }',
    })
    .optional()
    .meta({
      type: '`self-signed` or { cert, key }',
      default: 'none: plain HTTP',
      description:
        'HTTPS on every TCP listener: with a certificate that Postern makes and keeps in the state directory, or with PEM files.',
      example: '{ cert: /etc/postern/cert.pem, key: /etc/postern/key.pem }',
    }),
  log: objectOf({
    level: oneOf('debug', 'info', 'warn', 'error', 'silent').default('info'),
    requests: flag.default(true),
    format: oneOf('auto', 'json', 'pretty').default('auto'),
  })
    .prefault({})
    .meta({
      type: '{ level, requests, format }',
      default: '{ level: info, requests: true, format: auto }',
      description:
        'What goes to standard error. `level`: debug, info, warn, error or silent. `requests`: a line per request. `format`: json, pretty, or auto, which is pretty on a terminal.',
      example: '{ level: warn }',
    }),
  limits: objectOf({
    headerBytes: whole(4096, 1_048_576).default(32_768),
    headers: whole(16, 10_000).default(256),
    headerSeconds: whole(1, 600).default(20),
    idleSeconds: whole(1, 3600).default(60),
    bodyBytesPerSecond: whole(0, 1_000_000_000).default(100),
    keepAliveSeconds: whole(1, 3600).default(65),
    requestsPerConnection: whole(1, 1_000_000_000).default(100_000),
    connections: whole(1, 1_000_000).default(10_000),
    connectionsPerAddress: whole(1, 1_000_000).default(5_000),
    listedMembers: whole(1, 100_000_000).default(100_000),
    stopSeconds: whole(0, 3600).default(30),
  })
    .prefault({})
    .meta({
      type: '{ headerBytes, headers, headerSeconds, idleSeconds, bodyBytesPerSecond, keepAliveSeconds, requestsPerConnection, connections, connectionsPerAddress, listedMembers, stopSeconds }',
      default:
        '{ headerBytes: 32768, headers: 256, headerSeconds: 20, idleSeconds: 60, bodyBytesPerSecond: 100, keepAliveSeconds: 65, requestsPerConnection: 100000, connections: 10000, connectionsPerAddress: 5000, listedMembers: 100000, stopSeconds: 30 }',
      description:
        'All headers of a request together; how many they may be; how long a client may take to send them; how long it may send nothing of a body, or (up to twice as long) take nothing of an answer, which the system sees in steps of a third of what it buffers, so that drops count as nothing; how much of a body it must send on average over that time (0: as slowly as it likes); how long a connection stays open between requests; after how many requests it is closed; connections at a time on each listener; those of one address or one IPv6 /64 network that is no trusted proxy; members in one listing of infinite depth; how long a stop waits for running requests. The limits of connections hold for each worker.',
      example: '{ idleSeconds: 300 }',
    }),
})

/** The settings as the schema gives them: complete, with paths as they were written. */
export type Settings = z.output<typeof configSchema>

/** The top-level keys, in the order of the documentation. */
export const configKeys: readonly string[] = Object.keys(configSchema.shape)

/** `publicOrigins` → `POSTERN_PUBLIC_ORIGINS`. */
export function variableOf(key: string): string {
  return `POSTERN_${key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`
}
