/** The three kinds of events of the demo, as TypeBox schemas. */
import { Type } from 'typebox'

export const UserAction = Type.Object({
  event_id: Type.String({ maxLength: 64 }),
  event_type: Type.String({ maxLength: 64 }),
  timestamp: Type.String(),
  user_id: Type.String({ minLength: 1, maxLength: 64 }),
  properties: Type.Object({
    page: Type.String({ maxLength: 256 }),
    duration: Type.Number({ minimum: 0 }),
  }),
})

export const User = Type.Object({
  user_id: Type.String({ minLength: 1, maxLength: 64 }),
  plan: Type.Union([Type.Literal('free'), Type.Literal('pro')]),
})

export const Order = Type.Object({
  order_id: Type.String({ maxLength: 64 }),
  at: Type.String(),
  country: Type.String({ minLength: 2, maxLength: 2 }),
  status: Type.Union([Type.Literal('paid'), Type.Literal('cancelled')]),
  cents: Type.Integer({ minimum: 0 }),
})

export const HostSample = Type.Object({
  host: Type.String(),
  at: Type.Number(),
  cpu: Type.Number(),
  memory_used: Type.Number(),
})
