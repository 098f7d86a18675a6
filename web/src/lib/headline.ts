import type { CallDetail } from '../api/types';
import { spokenDuration, timeOfDay } from './format';
import { shortTarget } from './party';

/** The translator of i18next, as far as it is needed here. */
export interface Words {
  t(key: string, args?: Record<string, unknown>): string;
  exists(key: string): boolean;
  language: string;
  locale: string;
}

/**
 * One sentence that says what happened. Which clauses it has is call control's decision; here they are
 * worded, with times in the reader's zone. A clause newer than this page makes the gateway's own wording
 * stand in for the whole sentence.
 */
export function headline(call: Pick<CallDetail, 'headline' | 'status' | 'outcome'>, words: Words): string {
  const clauses = call.headline?.clauses ?? [];
  const known = clauses.length > 0 && clauses.every((clause) => words.exists(`clause.${clause.key}`));
  if (known) {
    const text = clauses
      .map((clause) => words.t(`clause.${clause.key}`, wordArgs(clause.args ?? {}, words)))
      .join('; ');
    return text.charAt(0).toLocaleUpperCase(words.locale) + text.slice(1);
  }
  const said = words.language === 'de' ? call.headline?.de : call.headline?.en;
  if (said) return said;
  return call.outcome
    ? words.t(`outcome.${call.outcome.code}`, { defaultValue: call.outcome.code })
    : words.t(`status.${call.status}`);
}

function wordArgs(args: Record<string, string>, { t, locale }: Words): Record<string, string> {
  return {
    ...args,
    ...(args.seconds ? { length: spokenDuration(Number(args.seconds) * 1000) } : {}),
    ...(args.at ? { at: timeOfDay(args.at, locale) } : {}),
    ...(args.target ? { target: shortTarget(args.target) } : {}),
    ...(args.callee ? { callee: shortTarget(args.callee) } : {}),
    ...(args.cause ? { cause: t(`cause.${args.cause}`, { defaultValue: args.cause }) } : {}),
  };
}
