// Package fidelity holds the model to the measurements that it was calibrated
// on. Its tests compute the tables of docs/fidelity.md and fail when the model
// drifts away from the measurements, or the document from the model.
package fidelity
