/** rclone serve webdav with its own defaults. @type {import('./index.mjs').Peer} */
export const rclone = {
  packages: ['rclone'],
  needs: ['rclone'],
  version: ['rclone', 'version'],
  command: ({ port, root, passwords }) =>
    ['rclone', 'serve', 'webdav', root, '--config', '/dev/null'].concat([
      '--addr',
      `127.0.0.1:${port}`,
      '--htpasswd',
      passwords,
    ]),
}
