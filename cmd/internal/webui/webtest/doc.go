// Package webtest types into the web console for its tests.
package webtest
