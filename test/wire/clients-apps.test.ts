import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { startServer } from '../harness.js'
import { hrefsOf, propertyStatus } from './dav.js'
import type { Recording } from './replay.js'
import { all, has, replay, says } from './replay.js'

const xml = { 'Content-Type': 'application/xml; charset=utf-8' }

const joplinMagic = { 'If-None-Match': 'JoplinIgnore-1764000000000' }
const joplin: Recording = {
  client: 'Joplin',
  headers: { 'User-Agent': 'Joplin/3.5 (https://joplinapp.org)', 'Cache-Control': 'no-store', ...joplinMagic },
  steps: [
    {
      send: 'PROPFIND {base}/',
      headers: { ...xml, Depth: '1' },
      body: '<?xml version="1.0" encoding="UTF-8"?><d:propfind xmlns:d="DAV:"><d:prop><d:getlastmodified/><d:resourcetype/></d:prop></d:propfind>',
      status: 207,
    },
    { send: 'GET {base}/info.json', status: 404 },
    { send: 'PUT {base}/info.json', body: '{"version":3}', status: 201 },
    { send: 'GET {base}/info.json', status: 200, see: says(/^\{"version":3\}$/) },
    { send: 'PUT {base}/info.json', body: '{"version":4}', status: 204 },
    { send: 'MKCOL {base}/.resource', status: 201 },
    { send: 'MKCOL {base}/.resource', status: 405 },
    { send: 'MKCOL {base}/deep/er', status: 409 },
    { send: 'PUT {base}/testing.txt', body: 't', status: 201 },
    {
      send: 'MOVE {base}/testing.txt',
      headers: { Destination: '{origin}{base}/moved.txt', Overwrite: 'T' },
      status: 201,
    },
    {
      send: 'PROPFIND {base}/moved.txt',
      headers: { ...xml, Depth: '0' },
      body: '<d:propfind xmlns:d="DAV:"><d:prop><d:getlastmodified/></d:prop></d:propfind>',
      status: 207,
      see: (answer) => expect(propertyStatus(answer, 'getlastmodified')).toBe(200),
    },
    { send: 'DELETE {base}/moved.txt', status: 204 },
    { send: 'DELETE {base}/moved.txt', status: 404 },
  ],
}

const keepass: Recording = {
  client: 'KeePass',
  headers: { 'User-Agent': 'KeePass/2.58' },
  steps: [
    { send: 'HEAD {base}/db.kdbx', status: 404 },
    { send: 'PUT {base}/db.kdbx', body: 'database 1', status: 201 },
    { send: 'GET {base}/db.kdbx', status: 200, see: all(has('ETag', /^"/), has('Last-Modified', /GMT/)) },
    { send: 'PUT {base}/db.kdbx.tmp', body: 'database 2', status: 201 },
    {
      send: 'MOVE {base}/db.kdbx.tmp',
      headers: { Destination: '{origin}{base}/db.kdbx', Overwrite: 'T' },
      status: 204,
    },
    { send: 'GET {base}/db.kdbx', status: 200, see: says(/^database 2$/) },
    { send: 'HEAD {base}/db.kdbx.tmp', status: 404 },
    { send: 'PUT {base}/.db.kdbx.1764000000', body: 'database 3', status: 201 },
    {
      send: 'MOVE {base}/.db.kdbx.1764000000',
      headers: { Destination: '{origin}{base}/db.kdbx', Overwrite: 'T' },
      status: 204,
    },
    { send: 'GET {base}/db.kdbx', status: 200, see: says(/^database 3$/) },
  ],
}

const zotero: Recording = {
  client: 'Zotero',
  headers: { 'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Zotero/7.0' },
  steps: [
    { send: 'OPTIONS {base}/', status: [200, 204], see: has('DAV', /1/) },
    {
      send: 'PROPFIND {base}/zotero/',
      headers: { ...xml, Depth: '0' },
      body: '<propfind xmlns="DAV:"><prop><getcontentlength/></prop></propfind>',
      status: 404,
    },
    { send: 'MKCOL {base}/zotero/', status: 201 },
    {
      send: 'PROPFIND {base}/zotero/',
      headers: { ...xml, Depth: '0' },
      body: '<propfind xmlns="DAV:"><prop><getcontentlength/></prop></propfind>',
      status: 207,
    },
    { send: 'GET {base}/zotero/nonexistent.prop', status: 404 },
    { send: 'PUT {base}/zotero/zotero-test-file.prop', body: ' ', status: 201 },
    { send: 'GET {base}/zotero/zotero-test-file.prop', status: 200, see: has('Content-Type', /./) },
    { send: 'DELETE {base}/zotero/zotero-test-file.prop', status: 204 },
    { send: 'PUT {base}/zotero/ABCD2345.zip', headers: { 'Content-Type': 'application/zip' }, body: 'PK', status: 201 },
    { send: 'PUT {base}/zotero/ABCD2345.prop', body: '<properties version="1"/>', status: 201 },
    { send: 'GET {base}/zotero/ABCD2345.prop', status: 200, see: says('properties version') },
    { send: 'DELETE {base}/zotero/missing.prop', status: 404 },
  ],
}

const remotelySave: Recording = {
  client: 'Remotely Save',
  headers: { 'User-Agent': 'obsidian/1.8 Electron/34', Origin: 'app://obsidian.md', 'Sec-Fetch-Site': 'cross-site' },
  steps: [
    {
      send: 'OPTIONS {base}/',
      anonymous: true,
      headers: {
        'Access-Control-Request-Method': 'PROPFIND',
        'Access-Control-Request-Headers': 'authorization, depth, content-type',
      },
      status: [200, 204],
      see: all(
        has('Access-Control-Allow-Origin', /^app:\/\/obsidian\.md$/),
        has('Access-Control-Allow-Methods', /PROPFIND/),
        has('Access-Control-Allow-Headers', /authorization/i),
      ),
    },
    {
      send: 'PROPFIND {base}/',
      headers: { ...xml, Depth: '1' },
      status: 207,
      see: all(
        has('Access-Control-Allow-Origin', /^app:\/\/obsidian\.md$/),
        has('Access-Control-Expose-Headers', /etag/i),
      ),
    },
    { send: 'MKCOL {base}/vault/', status: 201 },
    { send: 'PUT {base}/vault/note.md', body: '# note', status: 201, see: has('ETag', /^"/) },
    { send: 'GET {base}/vault/note.md', status: 200, see: says(/^# note$/) },
    { send: 'PROPFIND {base}/vault/note.md', headers: { ...xml, Depth: '0' }, status: 207 },
    { send: 'DELETE {base}/vault/note.md', status: 204 },
  ],
}

const davx5: Recording = {
  client: 'DAVx5',
  headers: { 'User-Agent': 'DAVx5/4.5 (2026/11/01; dav4jvm; okhttp/4.12) Android/15' },
  steps: [
    { send: 'OPTIONS {base}/', status: 200, see: has('DAV', /1.*2.*3/) },
    {
      send: 'PROPFIND {base}/',
      headers: { ...xml, Depth: '1' },
      body: '<?xml version="1.0"?><propfind xmlns="DAV:"><prop><resourcetype/><displayname/><getetag/><getcontenttype/><getcontentlength/><getlastmodified/><quota-available-bytes/><quota-used-bytes/><current-user-privilege-set/></prop></propfind>',
      status: 207,
      see: (answer) => {
        expect(propertyStatus(answer, 'current-user-privilege-set')).toBe(200)
        expect(propertyStatus(answer, 'quota-available-bytes')).toBe(200)
        expect(answer.text).toMatch(/<(?:\w+:)?(?:all|write|bind|write-content)\/>/)
      },
    },
    { send: 'PUT {base}/p.jpg', chunks: ['01234', '56789'], status: 201 },
    {
      send: 'HEAD {base}/p.jpg',
      status: 200,
      see: all(has('Accept-Ranges', /^bytes$/), has('Content-Length', /^10$/), has('ETag', /^"/)),
    },
    {
      send: 'GET {base}/p.jpg',
      headers: { Range: 'bytes=2-5', 'If-Match': '{etag}' },
      status: 206,
      see: says(/^2345$/),
    },
    { send: 'GET {base}/p.jpg', headers: { Range: 'bytes=2-5', 'If-Match': '"old"' }, status: 412 },
    { send: 'MKCOL {base}/album', status: 201 },
    { send: 'MOVE {base}/p.jpg', headers: { Destination: '{origin}{base}/album/p.jpg', Overwrite: 'F' }, status: 201 },
    { send: 'DELETE {base}/album', status: 204 },
  ],
}

const cyberduck: Recording = {
  client: 'Cyberduck',
  headers: { 'User-Agent': 'Cyberduck/9.1.0 (Mac OS X/15.1) (aarch64)' },
  steps: [
    { send: 'HEAD {base}/', status: 200 },
    {
      send: 'PROPFIND {base}/',
      headers: { ...xml, Depth: '1' },
      body: '<?xml version="1.0" encoding="UTF-8" standalone="yes"?><D:propfind xmlns:D="DAV:" xmlns:C="http://ownCloud.org/ns"><D:allprop/></D:propfind>',
      status: 207,
    },
    {
      send: 'PROPFIND {base}/up.bin',
      headers: { ...xml, Depth: '0' },
      body: '<D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>',
      status: 404,
    },
    {
      send: 'PUT {base}/up.bin-4f2a.tmp',
      headers: { Expect: '100-continue', 'Content-Type': 'application/octet-stream' },
      body: 'bytes',
      status: 201,
    },
    {
      send: 'MOVE {base}/up.bin-4f2a.tmp',
      headers: { Destination: '{origin}{base}/up.bin', Overwrite: 'T' },
      status: 201,
    },
    {
      send: 'PROPPATCH {base}/up.bin',
      headers: xml,
      body: '<?xml version="1.0" encoding="UTF-8"?><D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><s:lastmodified xmlns:s="SAR:">Sat, 03 Feb 2001 04:05:06 GMT</s:lastmodified></D:prop></D:set></D:propertyupdate>',
      status: 207,
      see: (answer) => expect(propertyStatus(answer, 'lastmodified')).toBe(200),
    },
    { send: 'GET {base}/up.bin', headers: { Range: 'bytes=2-' }, status: 206, see: says(/^tes$/) },
    { send: 'DELETE {base}/up.bin', status: 204 },
  ],
}

const rclone: Recording = {
  client: 'rclone',
  headers: { 'User-Agent': 'rclone/v1.68.2', Referer: '{origin}/' },
  steps: [
    {
      send: 'PROPFIND {base}/a/b/',
      headers: { ...xml, Depth: '1' },
      body: '<?xml version="1.0" encoding="utf-8"?><d:propfind xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns"><d:prop><d:displayname/><d:getlastmodified/><d:getcontentlength/><d:resourcetype/><d:getcontenttype/><oc:checksums/><oc:permissions/></d:prop></d:propfind>',
      status: 404,
    },
    { send: 'MKCOL {base}/a/b/', status: 409 },
    { send: 'MKCOL {base}/a/', status: 201 },
    { send: 'MKCOL {base}/a/', status: 405 },
    { send: 'MKCOL {base}/a/b/', status: 201 },
    {
      send: 'PUT {base}/a/b/f.txt',
      headers: { 'X-OC-Mtime': '981173106.5', 'OC-Checksum': 'SHA1:d3964f9dad9f60363c81b688324d95b4ec7c8038' },
      body: 'wxyz',
      status: 400,
    },
    {
      send: 'PUT {base}/a/b/f.txt',
      headers: { 'X-OC-Mtime': '981173106', 'OC-Checksum': 'MD5:a7c3c2aa70d99921f9fb23ac87382997' },
      body: 'wxyz',
      status: 201,
    },
    {
      send: 'PUT {base}/a/b/f.txt',
      headers: { 'X-OC-Mtime': '981173106' },
      body: 'wxyz',
      status: 204,
      see: has('X-OC-Mtime', /^accepted$/),
    },
    { send: 'HEAD {base}/a/b/f.txt', status: 200, see: has('Last-Modified', /^Sat, 03 Feb 2001 04:05:06 GMT$/) },
    { send: 'COPY {base}/a/b/f.txt', headers: { Destination: '{origin}{base}/a/g.txt', Overwrite: 'T' }, status: 201 },
    { send: 'MOVE {base}/a/b/f.txt', headers: { Destination: '{origin}{base}/h.txt', Overwrite: 'T' }, status: 201 },
    { send: 'DELETE {base}/a/', status: 204 },
  ],
}

const others: Recording = {
  client: 'NetDrive, Transmit, WinSCP, Evolution',
  headers: { 'User-Agent': 'various' },
  steps: [
    {
      send: 'PROPFIND {base}/',
      headers: { ...xml, Depth: '1' },
      body: '<?xml version="1.0"?><propfind xmlns="DAV:"><prop/></propfind>',
      status: 207,
    },
    { send: 'PROPFIND {base}/.Trashes', headers: { Depth: '0' }, status: 404 },
    { send: 'PUT {base}/t.bin', chunks: ['abc', 'def'], status: 201 },
    { send: 'GET {base}/t.bin', headers: { Translate: 'f' }, status: 200, see: says(/^abcdef$/) },
    {
      send: 'PROPPATCH {base}/t.bin',
      headers: xml,
      body: '<?xml version="1.0"?><propertyupdate xmlns="DAV:"><set><prop><getlastmodified>Sat, 03 Feb 2001 04:05:06 GMT</getlastmodified></prop></set></propertyupdate>',
      status: 207,
    },
    { send: 'PUT {base}/t.bin', headers: { 'If-None-Match': 'junk, "unfinished' }, body: 'x', status: 204 },
    { send: 'DELETE {base}/t.bin', status: 204 },
  ],
}

const davfs2: Recording = {
  client: 'davfs2',
  headers: { 'User-Agent': 'davfs2/1.7.1 neon/0.34.0' },
  steps: [
    { send: 'OPTIONS {base}/', status: 200, see: has('DAV', /2/) },
    { send: 'HEAD {base}/new', status: 404 },
    {
      send: 'LOCK {base}/new',
      headers: { ...xml, Depth: '0', Timeout: 'Second-1800' },
      body: '<?xml version="1.0" encoding="utf-8"?>\n<lockinfo xmlns=\'DAV:\'>\n <lockscope><exclusive/></lockscope>\n<locktype><write/></locktype><owner>admin@davfs2</owner>\n</lockinfo>\n',
      status: 201,
      see: says(/Second-1800/),
    },
    {
      send: 'PUT {base}/new',
      headers: { If: '<{base}/new> (<{token}>)', Expect: '100-continue' },
      body: 'data',
      status: 204,
    },
    {
      send: 'PROPFIND {base}/new',
      headers: { ...xml, Depth: '0' },
      body: '<propfind xmlns="DAV:"><prop><lockdiscovery/></prop></propfind>',
      status: 207,
      see: says(/owner[^>]*>admin@davfs2</),
    },
    { send: 'LOCK {base}/new', headers: { If: '<{base}/new> (<{token}>)', Timeout: 'Second-1800' }, status: 200 },
    { send: 'UNLOCK {base}/new', headers: { 'Lock-Token': '<{token}>' }, status: 204 },
    { send: 'HEAD {base}/new', status: 200, see: has('ETag', /^"/) },
    { send: 'PUT {base}/new', headers: { 'If-Match': '{etag}' }, body: 'data 2', status: 204 },
    { send: 'PUT {base}/new', headers: { 'If-Match': '"stale"' }, body: 'data 3', status: 412 },
    {
      send: 'PROPPATCH {base}/new',
      headers: xml,
      body: '<propertyupdate xmlns="DAV:"><set><prop><executable xmlns="http://apache.org/dav/props/">T</executable></prop></set></propertyupdate>',
      status: 207,
      see: (answer) => expect(propertyStatus(answer, 'executable')).toBe(200),
    },
  ],
}

let server: Server

beforeAll(async () => {
  server = await startServer({ config: 'cors: { origins: ["app://obsidian.md"] }\n' })
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

it.each([joplin, keepass, zotero, remotelySave, davx5, cyberduck, rclone, davfs2, others])(
  'replays clean: $client',
  async (recording) => {
    const base = `/${recording.client.replace(/\W/g, '')}`
    await mkdir(join(server.root, base))
    await replay(server, recording, base)
  },
)

it('gives Remotely Save a walk of the vault, one level at a time', async () => {
  await mkdir(join(server.root, 'vault', 'sub folder'), { recursive: true })
  await writeFile(join(server.root, 'vault', 'sub folder', 'ä.md'), 'a')
  const top = await server.request('PROPFIND', '/vault/', { headers: { Depth: '1' } })
  expect([...hrefsOf(top)].sort()).toEqual(['/vault/', '/vault/sub%20folder/'])
  const below = await server.request('PROPFIND', '/vault/sub%20folder/', { headers: { Depth: '1' } })
  expect(hrefsOf(below).map(decodeURI).sort()).toEqual(['/vault/sub folder/', '/vault/sub folder/ä.md'])
})
