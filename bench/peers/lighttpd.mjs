/** Debian's lighttpd with mod_webdav; locks and properties in SQLite. @type {import('./index.mjs').Peer} */
export const lighttpd = {
  packages: ['lighttpd', 'lighttpd-mod-webdav'],
  needs: ['lighttpd', '/usr/lib/lighttpd/mod_webdav.so'],
  version: ['lighttpd', '-v'],
  command: ({ configuration }) => ['lighttpd', '-D', '-f', configuration],
  configuration: ({ port, root, state, passwords }) => `
server.modules = ( "mod_auth", "mod_authn_file", "mod_webdav" )
server.bind = "127.0.0.1"
server.port = ${port}
server.document-root = "${root}"
server.username = "www-data"
server.groupname = "www-data"
server.upload-dirs = ( "${state}" )
mimetype.assign = ( ".txt" => "text/plain", "" => "application/octet-stream" )
auth.backend = "htpasswd"
auth.backend.htpasswd.userfile = "${passwords}"
auth.require = ( "" => ( "method" => "basic", "realm" => "bench", "require" => "valid-user" ) )
webdav.activate = "enable"
webdav.is-readonly = "disable"
webdav.sqlite-db-name = "${state}/webdav.db"
webdav.opts = ( "propfind-depth-infinity" => "enable" )
`,
}
