import { existsSync } from 'node:fs'

/** Where Linux-PAM looks for services (pam.conf(5)); `pam.conf` counts only where there is no /etc/pam.d. */
const folders = ['/etc/pam.d', '/usr/lib/pam.d', '/usr/etc/pam.d', '/usr/share/pam.d', '/usr/local/etc/pam.d']

/** Whether there is a service of that name: for one that is missing PAM takes `other`, which may let people in. */
export function hasPamService(service: string): boolean {
  if (!existsSync('/etc/pam.d') && existsSync('/etc/pam.conf')) return true
  return folders.some((folder) => existsSync(`${folder}/${service}`))
}
