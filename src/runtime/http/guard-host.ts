import type { FastifyInstance, FastifyRequest } from 'fastify'
import { MillraceError } from '../../errors.ts'
import { hostRefusal } from './headers.ts'

/** Refuses requests under a name that is not the server's, on every route. `trusted`: those that have no name to check. */
export function guardHost(
  app: FastifyInstance,
  listensOn: string,
  trusted: (request: FastifyRequest) => boolean,
): void {
  app.addHook('onRequest', (request, _reply, done) => {
    const refusal = trusted(request) ? undefined : hostRefusal(listensOn, request.headers.host)
    done(refusal === undefined ? undefined : new MillraceError(refusal.code, refusal.what))
  })
}
