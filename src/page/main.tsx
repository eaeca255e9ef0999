import { render } from "preact";

import { App } from "./view/app.tsx";
import { ErrorBanner } from "./view/error-banner.tsx";

const root = document.getElementById("page");
if (root !== null) {
  render(
    <>
      <ErrorBanner />
      <App />
    </>,
    root,
  );
}
