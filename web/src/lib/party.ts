/** A SIP URI without its scheme, parameters and port: what people call it by. */
export function shortTarget(target: string): string {
  return target
    .replace(/^sips?:/, '')
    .replace(/[;?].*$/, '')
    .replace(/:\d+$/, '');
}
