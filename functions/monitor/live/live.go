// Package live keeps what the dashboard shows up to date: it subscribes to the
// views of sql/, once each however many are looking, follows the models in
// Redis, and hands out what has changed.
package live
