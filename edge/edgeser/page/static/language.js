// A browser's language may be invalid: WebKitGTK reports "C" on a system without a locale, such as a
// small device. The charts' library would fail on it while loading; undefined means the default.
"use strict";
try {
  new Intl.NumberFormat(navigator.language);
} catch {
  Object.defineProperty(navigator, "language", { value: undefined });
}
