// Logs in with openid-client, refreshes, calls the API and logs out.
import * as oauth from 'openid-client'
import { createInterface } from 'node:readline/promises'

const base = process.env.BASE_URL
const server = {
  issuer: base,
  authorization_endpoint: `${base}/oauth/authorize`,
  token_endpoint: `${base}/oauth/token`,
}
const { CLIENT_ID, CLIENT_SECRET } = process.env
// Not ClientSecretBasic: it encodes the dot of the id (RFC 6749, section 2.3.1), and the framework does not decode it.
const config = new oauth.Configuration(server, CLIENT_ID, CLIENT_SECRET, oauth.ClientSecretPost(CLIENT_SECRET))

const state = oauth.randomState()
// With a path: the package takes the redirect URI of the exchange from the redirect, which has a slash after the host.
const page = oauth.buildAuthorizationUrl(config, { redirect_uri: 'https://example.com/callback', scope: 'write', state })
console.log(page.href)
const input = createInterface({ input: process.stdin })
const redirect = new URL(await input.question(''))
input.close()
const tokens = await oauth.authorizationCodeGrant(config, redirect, { expectedState: state })
console.log('logged in')

const fresh = await oauth.refreshTokenGrant(config, tokens.refresh_token)
if (fresh.access_token === tokens.access_token) throw new Error('the same access token')
console.log('refreshed')

async function call (method, path) {
  const headers = new Headers({ accept: 'application/json' })
  const response = await oauth.fetchProtectedResource(config, fresh.access_token, new URL(base + path), method, null, headers)
  if (response.status !== 200) throw new Error(`${method} ${path}: ${response.status}`)
  return response
}
console.log((await (await call('GET', '/rest/v2.4/cameras')).json()).length, 'cameras')
await call('DELETE', '/rest/v2.0/users/self/tokens/current')
console.log('logged out')
