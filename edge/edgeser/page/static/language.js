// A browser's language may be none: WebKitGTK calls it "C" where the system has no locale, as small
// devices have none. The charts would fail over it while they are loaded; undefined is the default.
"use strict";
try {
  new Intl.NumberFormat(navigator.language);
} catch {
  Object.defineProperty(navigator, "language", { value: undefined });
}
