// Defines the site's small elements; every page loads this one module.
import "./code-tabs.js";
import "./confirm-submit.js";
import "./copy-button.js";
import "./dialog-opener.js";
import "./dismiss-message.js";
import "./drop-menu.js";
import "./language-switch.js";
import "./live-fragment.js";
import "./local-time.js";
import "./request-drawer.js";
import "./sign-out.js";
import "./submit-on-change.js";
import "./submit-once.js";
import "./theme-switch.js";
