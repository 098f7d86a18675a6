// Fails the build when the first load is larger than allowed: what index.html names, compressed.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const LIMIT_KIB = 300;
const dist = fileURLToPath(new URL('../dist/', import.meta.url));
const index = readFileSync(`${dist}index.html`, 'utf8');
const files = [...index.matchAll(/(?:src|href)="\/([^"]+)"/g)].map((match) => match[1]);
const sizes = ['index.html', ...files].map((file) => [
  file,
  gzipSync(readFileSync(dist + file)).length / 1024,
]);
const total = sizes.reduce((sum, [, size]) => sum + size, 0);
for (const [file, size] of sizes) console.log(`${size.toFixed(1).padStart(8)} KiB  ${file}`);
console.log(`${total.toFixed(1).padStart(8)} KiB  first load, gzip (limit ${LIMIT_KIB})`);
if (/<script(?![^>]*\bsrc=)[^>]*>|<style|\son\w+=|https?:\/\//.test(index)) {
  console.error('dist/index.html holds an inline script, an inline style or a foreign address');
  process.exit(1);
}
if (total > LIMIT_KIB) process.exit(1);
