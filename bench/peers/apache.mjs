/** Debian's Apache with mod_dav_fs on the event MPM, as its packages set it up. @type {import('./index.mjs').Peer} */
export const apache = {
  packages: ['apache2'],
  needs: ['apache2', '/usr/lib/apache2/modules/mod_dav_fs.so'],
  version: ['apache2', '-v'],
  command: ({ configuration }) => ['apache2', '-D', 'FOREGROUND', '-f', configuration],
  configuration: ({ port, root, state, log, passwords }) => `
ServerName localhost
ServerRoot ${state}
DefaultRuntimeDir ${state}
PidFile ${state}/pid
ErrorLog ${log}
Listen 127.0.0.1:${port}
User www-data
Group www-data
${['mpm_event', 'authn_core', 'authn_file', 'authz_core', 'authz_user', 'auth_basic', 'mime', 'dir', 'dav', 'dav_fs']
  .map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`)
  .join('\n')}
StartServers 2
MinSpareThreads 25
MaxSpareThreads 75
ThreadLimit 64
ThreadsPerChild 25
MaxRequestWorkers 150
KeepAlive On
MaxKeepAliveRequests 100
KeepAliveTimeout 5
TypesConfig /dev/null
AddType text/plain .txt
AddType application/octet-stream .bin
DocumentRoot ${root}
DAVLockDB ${state}/locks
<Directory ${root}>
  AllowOverride None
</Directory>
<Location />
  Dav On
  DavDepthInfinity On
  AuthType Basic
  AuthName bench
  AuthUserFile ${passwords}
  Require valid-user
</Location>
`,
}
