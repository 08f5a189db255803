// Package page has the tests of the page at /ui/, in a headless Chromium, on one planet of twelve nodes. It has no other files.
package page
