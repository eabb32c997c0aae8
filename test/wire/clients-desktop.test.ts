import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Server } from '../harness.js'
import { startServer } from '../harness.js'
import { propertyStatus } from './dav.js'
import type { Recording, Step } from './replay.js'
import { all, has, hasNo, replay, says } from './replay.js'

const xml = { 'Content-Type': 'text/xml; charset="utf-8"' }
const finderProps =
  '<?xml version="1.0" encoding="utf-8"?>\n<D:propfind xmlns:D="DAV:">\n<D:prop>\n<D:getlastmodified/>\n<D:getcontentlength/>\n<D:creationdate/>\n<D:resourcetype/>\n</D:prop>\n</D:propfind>\n'
const finderLock =
  '<?xml version="1.0" encoding="utf-8"?>\n<D:lockinfo xmlns:D="DAV:">\n<D:lockscope><D:exclusive/></D:lockscope>\n<D:locktype><D:write/></D:locktype>\n<D:owner>\n<D:href>http://www.apple.com/webdav_fs/</D:href>\n</D:owner>\n</D:lockinfo>\n'

/** New file: an empty PUT, LOCK, the data in chunks, UNLOCK. */
function finderWrites(name: string, data: readonly string[]): readonly Step[] {
  const size = data.join('').length
  return [
    { send: `PROPFIND {base}/${name}`, headers: { ...xml, Depth: '0' }, body: finderProps, status: 404 },
    {
      send: `PUT {base}/${name}`,
      headers: { 'Content-Length': '0' },
      status: 201,
      see: all(has('ETag', /^"/), has('Last-Modified', /GMT$/)),
    },
    { send: `PROPFIND {base}/${name}`, headers: { ...xml, Depth: '0' }, body: finderProps, status: 207 },
    {
      send: `LOCK {base}/${name}`,
      headers: { ...xml, Depth: '0', Timeout: 'Second-600' },
      body: finderLock,
      status: 200,
      see: all(has('Lock-Token', /^<[^<>]+>$/), says('http://www.apple.com/webdav_fs/'), says(/Second-600/)),
    },
    {
      send: `PUT {base}/${name}`,
      headers: { If: '(<{token}>)', 'X-Expected-Entity-Length': String(size) },
      chunks: data,
      status: 204,
      see: all(has('ETag', /^"/), has('Last-Modified', /GMT$/)),
    },
    {
      send: `LOCK {base}/${name}`,
      headers: { If: '(<{token}>)', Timeout: 'Second-600', 'Content-Length': '0' },
      status: 200,
      see: says('lockdiscovery'),
    },
    {
      send: `PROPFIND {base}/${name}`,
      headers: { ...xml, Depth: '0' },
      body: finderProps,
      status: 207,
      see: says(`>${size}</`),
    },
    { send: `UNLOCK {base}/${name}`, headers: { 'Lock-Token': '<{token}>' }, status: 204 },
  ]
}

const finder: Recording = {
  client: 'Finder',
  headers: { 'User-Agent': 'WebDAVFS/3.0.0 (03008000) Darwin/25.0.0 (arm64)', Accept: '*/*' },
  steps: [
    {
      send: 'PROPFIND /',
      anonymous: true,
      headers: { Depth: '0' },
      status: 401,
      see: has('WWW-Authenticate', /Basic realm=/),
    },
    { send: 'OPTIONS {base}/', status: 200, see: has('DAV', /(?:^|[ ,])1(?=,|$).*[ ,]2(?=,|$)/) },
    {
      send: 'PROPFIND {base}/',
      headers: { ...xml, Depth: '0' },
      body: '<?xml version="1.0" encoding="utf-8"?>\n<D:propfind xmlns:D="DAV:">\n<D:prop>\n<D:quota-available-bytes/>\n<D:quota-used-bytes/>\n<D:quota/>\n<D:quotaused/>\n</D:prop>\n</D:propfind>\n',
      status: 207,
      see: (answer) => expect(propertyStatus(answer, 'quotaused')).not.toBe(500),
    },
    { send: 'PROPFIND {base}/', headers: { ...xml, Depth: '1' }, body: finderProps, status: 207 },
    { send: 'PROPFIND {base}/._.', headers: { ...xml, Depth: '0' }, body: finderProps, status: 404 },
    { send: 'GET {base}/.metadata_never_index', status: 404 },
    { send: 'GET {base}/.Spotlight-V100', status: 404 },
    ...finderWrites('caf%65%CC%81.txt', ['first chunk, ', 'second chunk']),
    ...finderWrites('._caf%65%CC%81.txt', ['\0\u0005\u0016\u0007']),
    ...finderWrites('.DS_Store', ['\0\0\0\u0001Bud1']),
    {
      send: 'GET {base}/caf%C3%A9.txt',
      status: 200,
      see: all(says('first chunk, second chunk'), has('Content-Length', /^25$/)),
    },
    { send: 'MKCOL {base}/untitled%20folder/', status: 201 },
    {
      send: 'MOVE {base}/untitled%20folder/',
      headers: { Destination: '{origin}{base}/Renamed%20%232/' },
      status: 201,
    },
    {
      send: 'LOCK {base}/caf%65%CC%81.txt',
      headers: { ...xml, Depth: '0', Timeout: 'Second-600' },
      body: finderLock,
      status: 200,
    },
    {
      send: 'MOVE {base}/caf%65%CC%81.txt',
      headers: {
        Destination: '{origin}{base}/Renamed%20%232/caf%65%CC%81.txt',
        If: ['<{origin}{base}/caf%65%CC%81.txt> (<{token}>)', '<{origin}{base}/Renamed%20%232/> (Not <DAV:no-lock>)'],
      },
      status: 201,
    },
    {
      send: 'COPY {base}/Renamed%20%232/caf%65%CC%81.txt',
      headers: { Destination: '{origin}{base}/copy.txt' },
      status: 201,
    },
    {
      send: 'COPY {base}/Renamed%20%232/caf%65%CC%81.txt',
      headers: { Destination: '{origin}{base}/copy.txt' },
      status: 204,
    },
    { send: 'PROPFIND {base}/Renamed%20%232', headers: { ...xml, Depth: '1' }, body: finderProps, status: 207 },
    { send: 'DELETE {base}/Renamed%20%232/', status: 204 },
    { send: 'DELETE {base}/copy.txt', status: 204 },
  ],
}

const explorerLock =
  '<?xml version="1.0" encoding="utf-8" ?><D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner><D:href>DESKTOP\\admin</D:href></D:owner></D:lockinfo>'
const win32Props =
  '<?xml version="1.0" encoding="utf-8" ?><D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:"><D:set><D:prop><Z:Win32CreationTime>Sun, 22 Nov 2026 10:00:00 GMT</Z:Win32CreationTime><Z:Win32LastAccessTime>Sun, 22 Nov 2026 10:00:01 GMT</Z:Win32LastAccessTime><Z:Win32LastModifiedTime>Sun, 22 Nov 2026 10:00:02 GMT</Z:Win32LastModifiedTime><Z:Win32FileAttributes>00000020</Z:Win32FileAttributes></D:prop></D:set></D:propertyupdate>'

function win32Accepted(answer: Parameters<NonNullable<Step['see']>>[0]): void {
  for (const name of ['Win32CreationTime', 'Win32LastAccessTime', 'Win32LastModifiedTime', 'Win32FileAttributes'])
    expect([name, propertyStatus(answer, name)]).toEqual([name, 200])
}

const explorer: Recording = {
  client: 'Explorer',
  headers: { 'User-Agent': 'Microsoft-WebDAV-MiniRedir/10.0.26100', Translate: 'f' },
  userPrefix: 'DESKTOP\\',
  steps: [
    { send: 'PROPFIND /', anonymous: true, headers: { Depth: '0', 'Content-Length': '0' }, status: 401 },
    { send: 'OPTIONS /', status: 200, see: all(has('DAV', /2/), has('MS-Author-Via', /^DAV$/)) },
    { send: 'PROPFIND /', headers: { Depth: '0', 'Content-Length': '0' }, status: 207 },
    { send: 'PROPFIND {base}', headers: { Depth: '0', 'Content-Length': '0' }, status: 207, see: hasNo('Location') },
    { send: 'PROPFIND {base}', headers: { Depth: '1', 'Content-Length': '0' }, status: 207 },
    {
      send: 'PROPFIND {base}/New%20Text%20Document.txt',
      headers: { Depth: '0', 'Content-Length': '0' },
      status: 404,
      see: has('Cache-Control', /no-store/),
    },
    { send: 'PUT {base}/New%20Text%20Document.txt', headers: { 'Content-Length': '0' }, status: 201 },
    {
      send: 'LOCK {base}/New%20Text%20Document.txt',
      headers: { 'Content-Type': 'text/xml; charset="utf-8"', Timeout: 'Second-3600' },
      body: explorerLock,
      status: 200,
      see: all(says(/Second-3600/), says('DESKTOP\\admin')),
    },
    {
      send: 'PROPPATCH {base}/New%20Text%20Document.txt',
      headers: { ...xml, If: '(<{token}>)' },
      body: win32Props,
      status: 207,
      see: win32Accepted,
    },
    { send: 'HEAD {base}/New%20Text%20Document.txt', status: 200, see: has('Content-Length', /^0$/) },
    {
      send: 'PUT {base}/New%20Text%20Document.txt',
      headers: { If: '(<{token}>)' },
      body: 'typed in Notepad',
      status: 204,
    },
    {
      send: 'PROPPATCH {base}/New%20Text%20Document.txt',
      headers: { ...xml, If: '(<{token}>)' },
      body: win32Props,
      status: 207,
      see: win32Accepted,
    },
    { send: 'UNLOCK {base}/New%20Text%20Document.txt', headers: { 'Lock-Token': '{token}' }, status: 204 },
    {
      send: 'PROPFIND {base}/New%20Text%20Document.txt',
      headers: { Depth: '0', 'Content-Length': '0' },
      status: 207,
      see: all(says('Win32FileAttributes'), says('Sun, 22 Nov 2026 10:00:02 GMT')),
    },
    { send: 'GET {base}/New%20Text%20Document.txt', status: 200, see: says(/^typed in Notepad$/) },
    { send: 'MKCOL {base}/New%20folder', status: 201 },
    {
      send: 'MOVE {base}/New%20folder',
      headers: { Destination: '{origin}{base}/Ordner%20%C3%A4', Overwrite: 'F' },
      status: 201,
    },
    {
      send: 'MOVE {base}/New%20Text%20Document.txt',
      headers: { Destination: '{origin}{base}/Ordner%20%C3%A4/n.txt', Overwrite: 'T' },
      status: 201,
    },
    { send: 'PROPPATCH {base}/Ordner%20%C3%A4', headers: xml, body: win32Props, status: 207, see: win32Accepted },
    { send: 'DELETE {base}/Ordner%20%C3%A4', status: 204 },
  ],
}

const office: Recording = {
  client: 'Office',
  headers: { 'User-Agent': 'Microsoft Office/16.0 (Windows NT 10.0; Microsoft Word 16.0.17830; Pro)', Translate: 'f' },
  steps: [
    { send: 'OPTIONS {base}/', status: 200, see: all(has('DAV', /2/), has('MS-Author-Via', /^DAV$/)) },
    { send: 'HEAD {base}/', status: 200 },
    { send: 'HEAD {base}/report.docx', status: 404 },
    { send: 'PUT {base}/report.docx', body: 'first version', status: 201 },
    {
      send: 'HEAD {base}/report.docx',
      status: 200,
      see: all(has('ETag', /^"/), has('Content-Type', /wordprocessingml/)),
    },
    {
      send: 'LOCK {base}/report.docx',
      headers: { ...xml, Depth: '0', Timeout: 'Second-3600' },
      body: explorerLock,
      status: 200,
      see: says(/Second-(?:[2-9]\d\d|1[89]\d|\d{4,})</),
    },
    { send: 'PROPPATCH {base}/report.docx', headers: xml, body: win32Props, status: 207, see: win32Accepted },
    {
      send: 'PROPFIND {base}/report.docx',
      headers: { ...xml, Depth: '0', Brief: 't' },
      body: '<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop><D:displayname/><D:getlastmodified/><D:nothing/></D:prop></D:propfind>',
      status: 207,
    },
    { send: 'LOCK {base}/report.docx', headers: { If: '(<{token}>)', Timeout: 'Second-3600' }, status: 200 },
    { send: 'PUT {base}/~WRD0001.tmp', body: 'second version', status: 201 },
    {
      send: 'MOVE {base}/~WRD0001.tmp',
      headers: {
        Destination: '{origin}{base}/report.docx',
        Overwrite: 'T',
        If: '<{origin}{base}/report.docx> (<{token}>)',
      },
      status: 204,
    },
    { send: 'GET {base}/report.docx', status: 200, see: says(/^second version$/) },
    { send: 'PUT {base}/report.docx', headers: { If: '(<{token}>)' }, body: 'third version', status: [204, 412] },
    { send: 'UNLOCK {base}/report.docx', headers: { 'Lock-Token': '<{token}>' }, status: [204, 409] },
  ],
}

const gvfsProps =
  '<?xml version="1.0" encoding="utf-8" ?>\n<D:propfind xmlns:D="DAV:">\n  <D:prop>\n<D:creationdate/>\n<D:displayname/>\n<D:getcontentlength/>\n<D:getcontenttype/>\n<D:getetag/>\n<D:getlastmodified/>\n<D:resourcetype/>\n</D:prop>\n</D:propfind>'

const gvfs: Recording = {
  client: 'gvfs',
  headers: { 'User-Agent': 'gvfs/1.56.1', 'Accept-Language': 'de-DE, de;q=0.9' },
  steps: [
    { send: 'OPTIONS {base}', status: 200, see: has('DAV', /1/) },
    {
      send: 'PROPFIND {base}',
      headers: { 'Content-Type': 'application/xml', Depth: '0' },
      body: gvfsProps,
      status: 207,
    },
    {
      send: 'PROPFIND /',
      headers: { 'Content-Type': 'application/xml', Depth: '0' },
      body: gvfsProps,
      status: [207, 403, 404],
    },
    {
      send: 'PROPFIND {base}',
      headers: { 'Content-Type': 'application/xml', Depth: '1' },
      body: gvfsProps,
      status: 207,
    },
    { send: 'HEAD {base}/Unnamed', status: 404 },
    { send: 'PUT {base}/Unnamed', headers: { 'If-None-Match': '*' }, body: '', status: 201 },
    { send: 'MOVE {base}/Unnamed', headers: { Destination: '{origin}{base}/note.txt', Overwrite: 'F' }, status: 201 },
    { send: 'HEAD {base}/note.txt', status: 200, see: has('ETag', /^"/) },
    { send: 'HEAD {base}/note.txt', headers: { 'If-Match': '{etag}' }, status: 200 },
    { send: 'PUT {base}/note.txt', headers: { 'If-Match': '{etag}' }, body: 'saved', status: 204 },
    { send: 'PUT {base}/note.txt', headers: { 'If-Match': '"changed-outside"' }, body: 'lost', status: 412 },
    { send: 'GET {base}/note.txt', status: 200, see: says(/^saved$/) },
    {
      send: 'COPY {base}/note.txt',
      headers: { Destination: '{origin}{base}/note%20(copy).txt', Overwrite: 'F' },
      status: 201,
    },
    {
      send: 'COPY {base}/note.txt',
      headers: { Destination: '{origin}{base}/note%20(copy).txt', Overwrite: 'F' },
      status: 412,
    },
    { send: 'DELETE {base}/note.txt', status: 204 },
  ],
}

const kde: Recording = {
  client: 'KDE KIO',
  headers: { 'User-Agent': 'Mozilla/5.0 (X11; Linux x86_64) KIO/6.10 kioworker/6.10.0', Pragma: 'no-cache' },
  steps: [
    { send: 'OPTIONS {base}/', status: 200, see: has('DAV', /1/) },
    {
      send: 'PROPFIND {base}/',
      headers: { 'Content-Type': 'text/xml; charset=utf-8', Depth: '1' },
      body: '<?xml version="1.0" encoding="utf-8" ?><D:propfind xmlns:D="DAV:"><D:prop><D:creationdate/><D:getcontentlength/><D:displayname/><D:source/><D:getcontentlanguage/><D:getcontenttype/><D:executable/><D:getlastmodified/><D:getetag/><D:supportedlock/><D:lockdiscovery/><D:resourcetype/></D:prop></D:propfind>',
      status: 207,
      see: (answer) => expect(propertyStatus(answer, 'executable')).toBe(404),
    },
    { send: 'PROPFIND {base}/k.txt', headers: { ...xml, Depth: '0' }, body: gvfsProps, status: 404 },
    { send: 'PUT {base}/k.txt', body: 'kde', status: 201 },
    { send: 'PROPFIND {base}/k.txt', headers: { ...xml, Depth: '0' }, body: gvfsProps, status: 207 },
    { send: 'PUT {base}/k.txt', body: 'kde 2', status: 204 },
    {
      send: 'MOVE {base}/k.txt',
      headers: { Destination: '{origin}{base}/l.txt', Overwrite: 'F', Depth: 'infinity' },
      status: 201,
    },
    { send: 'DELETE {base}/l.txt', status: 204 },
  ],
}

let server: Server

beforeAll(async () => {
  server = await startServer()
})

afterAll(async () => {
  await server[Symbol.asyncDispose]()
})

it.each([finder, explorer, office, gvfs, kde])('replays clean: $client', async (recording) => {
  const base = `/${recording.client.replace(/\W/g, '')}`
  await mkdir(join(server.root, base))
  await replay(server, recording, base)
})
