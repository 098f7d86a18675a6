/** A SIP URI without its scheme, parameters and port: what people call it by. */
export function shortTarget(target: string): string {
  return target
    .replace(/^sips?:/, '')
    .replace(/[;?].*$/, '')
    .replace(/:\d+$/, '');
}

/** What the API takes as a target: an extension, a number in E.164, or a SIP address. */
export function isTarget(text: string): boolean {
  return /^\d{2,8}$/.test(text) || /^\+[1-9]\d{6,14}$/.test(text) || /^sips?:[!-~]+$/.test(text);
}

/** Numbers are pasted with spaces, dashes and brackets; the API wants none. */
export function tidyTarget(text: string): string {
  const trimmed = text.trim();
  return /^sips?:/.test(trimmed) ? trimmed : trimmed.replace(/[\s().\-/]/g, '').replace(/^00(?=[1-9])/, '+');
}
