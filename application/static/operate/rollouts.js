import * as session from "./session.js";

session.watch();
