/** Debian's nginx with the dav and dav-ext modules. @type {import('./index.mjs').Peer} */
export const nginx = {
  packages: ['nginx-light', 'libnginx-mod-http-dav-ext'],
  needs: ['nginx', '/usr/lib/nginx/modules/ngx_http_dav_ext_module.so'],
  version: ['nginx', '-v'],
  command: ({ configuration, log }) => ['nginx', '-e', log, '-c', configuration],
  configuration: ({ port, root, state, log, passwords, keys, pinned }) => `
load_module /usr/lib/nginx/modules/ngx_http_dav_ext_module.so;
user www-data;
daemon off;
worker_processes ${pinned ? 1 : 'auto'};
pid ${state}/pid;
error_log ${log} error;
events { worker_connections 768; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  types { text/plain txt; }
  default_type application/octet-stream;
  client_max_body_size 0;
  # Beside the uploads: from another filesystem each would be copied once more.
  client_body_temp_path ${state}/body;
${['proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `  ${name}_temp_path ${state}/${name};`).join('\n')}
  include ${keys};
  # A right key needs no login besides.
  map "$key_ok:$auth_ok" $login { default bench; "1:1" off; }
  dav_ext_lock_zone zone=all:10m;
  server {
    listen 127.0.0.1:${port};
    root ${root};
    location / {
      auth_basic $login;
      auth_basic_user_file ${passwords};
      create_full_put_path on;
      dav_access user:rw group:rw all:r;
      dav_methods PUT DELETE MKCOL COPY MOVE;
      dav_ext_methods PROPFIND OPTIONS LOCK UNLOCK;
      dav_ext_lock zone=all;
    }
  }
}
`,
}
