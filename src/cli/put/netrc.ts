export interface NetrcLogin {
  readonly login: string
  readonly password: string
}

/**
 * What a `.netrc` (ftp(1)) says of a host: the first `machine` of that name, else `default`. Undefined without a login
 * and a password. Macros are skipped.
 */
export function netrcLogin(text: string, host: string): NetrcLogin | undefined {
  const words = text
    .replace(/^[ \t]*#.*$/gm, '')
    .replace(/^[ \t]*macdef\b[^]*?(?:\n[ \t]*\n|$(?![^]))/gm, '')
    .split(/\s+/)
    .filter((word) => word !== '')
  let isMeant = false
  let login: string | undefined
  let password: string | undefined
  for (let at = 0; at < words.length; at++) {
    const word = words[at]
    if (word === 'machine' || word === 'default') {
      if (isMeant) break
      isMeant = word === 'default' || words[++at]?.toLowerCase() === host.toLowerCase()
    } else if (word === 'login' || word === 'password' || word === 'account') {
      const value = words[++at]
      if (!isMeant) continue
      if (word === 'login') login = value
      else if (word === 'password') password = value
    }
  }
  return login === undefined || password === undefined ? undefined : { login, password }
}
