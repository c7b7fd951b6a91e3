// A head is the log's last position and seal, signed with a key outside the database: a saved head
// shows later whether the log before it was rewritten or cut.
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import { z } from "zod";
import { AppError, reason } from "../errors.ts";

const PKCS8_ED25519 = "302e020100300506032b657004220420";

const headSchema = z.object({
  position: z.int().nonnegative(),
  seal: z.string().regex(/^[0-9a-f]{64}$/),
  at: z.iso.datetime(),
  key: z.string(),
  signature: z.string(),
});

export type SignedHead = z.infer<typeof headSchema>;
export type Head = { position: number; seal: string };

/** SIGNING_KEY is an Ed25519 key as PEM, or its 32-byte seed in base64. */
export function parseSigningKey(text: string): KeyObject {
  try {
    const key = text.includes("-----BEGIN")
      ? createPrivateKey(text.replaceAll("\\n", "\n"))
      : createPrivateKey({ key: fromSeed(text), format: "der", type: "pkcs8" });
    if (key.asymmetricKeyType === "ed25519") return key;
  } catch (error) {
    throw new AppError("invalid", `SIGNING_KEY is not an Ed25519 key: ${reason(error)}`);
  }
  throw new AppError("invalid", "SIGNING_KEY is not an Ed25519 key: another kind of key");
}

function fromSeed(text: string): Buffer {
  const seed = Buffer.from(text, "base64");
  if (seed.length !== 32) throw new Error(`seed of ${seed.length} bytes, expected 32`);
  return Buffer.concat([Buffer.from(PKCS8_ED25519, "hex"), seed]);
}

export function newSigningKey(): string {
  return generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" })
    .toString();
}

export function publicKeyOf(key: KeyObject): string {
  return createPublicKey(key).export({ type: "spki", format: "der" }).toString("base64");
}

export function signHead(key: KeyObject, head: Head, at: Date): SignedHead {
  const unsigned = { position: head.position, seal: head.seal, at: at.toISOString() };
  const signature = sign(null, textOf(unsigned), key).toString("base64");
  return { ...unsigned, key: publicKeyOf(key), signature };
}

export function parseHead(text: string): SignedHead {
  let head: SignedHead;
  try {
    head = headSchema.parse(JSON.parse(text));
  } catch {
    throw new AppError("invalid", "not a saved head: expected position, seal, at, key, signature");
  }
  if (!isSigned(head)) throw new AppError("invalid", "the head's signature does not match");
  return head;
}

export function isSigned(head: SignedHead): boolean {
  try {
    const der = Buffer.from(head.key, "base64");
    const key = createPublicKey({ key: der, format: "der", type: "spki" });
    return verify(null, textOf(head), key, Buffer.from(head.signature, "base64"));
  } catch {
    return false;
  }
}

function textOf({ position, seal, at }: Head & { at: string }): Buffer {
  return Buffer.from(`tallybook head\n${position}\n${seal}\n${at}`);
}
