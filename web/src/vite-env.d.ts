/// <reference types="vite/client" />
import 'react';

declare module 'react' {
  // Custom properties are set through `style`, which React applies by script: no inline style in HTML.
  interface CSSProperties {
    [name: `--${string}`]: string | number | undefined;
  }
}
