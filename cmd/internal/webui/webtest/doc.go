// Package webtest is a browser, and types into the web console in it, for the tests of the console.
package webtest
