import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import { withS3Site } from './s3-site.js'
import { describeForeign } from './tools.js'

const script = fileURLToPath(new URL('s3-boto3.py', import.meta.url))

/** What the script does, by name: one that it leaves out fails. */
const checks = [
  'put_and_get',
  'upload_in_parts',
  'odd_keys',
  'signed_links',
  'links_as_boto3_signs_them_by_default',
  'forms',
  'conditions',
  'replaced_metadata',
  'configuration_reads',
]

describeForeign('boto3', ['file: /usr/lib/python3/dist-packages/boto3/__init__.py'], () => {
  const site = withS3Site({ config: 's3: { hosts: [localhost] }' })

  describe.each(['http', 'https'] as const)('over %s', (scheme) => {
    const results = new Map<string, string | null>()

    beforeAll(async () => {
      const env = { ...site.env, AWS_CA_BUNDLE: site.certificate, SSL_CERT_FILE: site.certificate }
      const printed = await site.ok('/usr/bin/python3', [script, site[scheme], site.server.root, site.home], env)
      for (const line of printed.trim().split('\n')) {
        const { name, error } = JSON.parse(line) as { readonly name: string; readonly error: string | null }
        results.set(name, error)
      }
    })

    it.each(checks)('%s', (name) => {
      expect(results.get(name), site.server.stderr().slice(-4000)).toBeNull()
    })

    it('has done nothing else', () => {
      expect([...results.keys()]).toEqual(checks)
    })
  })
})
