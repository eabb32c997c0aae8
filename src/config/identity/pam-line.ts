/** What the old program takes for a number: the digits a text begins with, else nothing (`atoi`). */
const digits = /^\s*\+?(\d+)/

const longestSeconds = 86_400

/** The five parameters of pam-dynamo, as text. */
export interface PamParameters {
  readonly region: string
  readonly table: string
  readonly realm: string
  readonly cacheFolder?: string
  readonly cacheDuration?: string
}

/**
 * The settings that stand for the parameters of pam-dynamo: whoever is in the table may do everything, as it was. A
 * duration that is no number switches the cache off, as there; one over a day is a day.
 */
export function settingsOf(parameters: PamParameters): Readonly<Record<string, unknown>> {
  const { region, table, realm, cacheFolder, cacheDuration } = parameters
  return {
    table,
    realm,
    region,
    grants: ['rw:/**'],
    ...(cacheFolder !== undefined && { cacheFolder }),
    ...(cacheDuration !== undefined && {
      cacheSeconds: Math.min(Number(digits.exec(cacheDuration)?.[1] ?? 0), longestSeconds),
    }),
  }
}

/**
 * Reads `REGION TABLE REALM CACHE_FOLDER CACHE_DURATION`, also with the words of the PAM line before it, such as
 * `auth required libpam-dynamo.so`. Undefined where it is something else.
 */
export function pamLine(text: string): Readonly<Record<string, unknown>> | undefined {
  const words = text.trim().split(/\s+/)
  const [region, table, realm, cacheFolder, cacheDuration, ...more] = words.slice(
    words.findIndex((word) => word.endsWith('.so')) + 1,
  )
  if (region === undefined || table === undefined || realm === undefined) return undefined
  if (cacheFolder === undefined || cacheDuration === undefined || more.length > 0) return undefined
  return settingsOf({ region, table, realm, cacheFolder, cacheDuration })
}

/** The parameters as the container had them in its environment; undefined unless the three that say where are all set. */
export function environmentTable(
  environment: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, unknown>> | undefined {
  const set = (name: string): string | undefined => (environment[name] === '' ? undefined : environment[name])
  const [region, table, realm] = [set('REGION'), set('TABLE'), set('REALM')]
  if (region === undefined || table === undefined || realm === undefined) return undefined
  const [cacheFolder, cacheDuration] = [set('CACHE_FOLDER'), set('CACHE_DURATION')]
  return settingsOf({
    region,
    table,
    realm,
    ...(cacheFolder !== undefined && { cacheFolder }),
    ...(cacheDuration !== undefined && { cacheDuration }),
  })
}
