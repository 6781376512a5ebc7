//go:build wasip1

package guest

// The functions of the host. A test compares them with the table of package abi.

//go:wasmimport troupe_v1 log
//go:noescape
func sysLog(level uint32, text *byte, textLen uint32) uint32

//go:wasmimport troupe_v1 fact
//go:noescape
func sysFact(which uint32, buf *byte, bufLen uint32, size *uint64) uint32

//go:wasmimport troupe_v1 blob_read
//go:noescape
func sysBlobRead(hash *byte, hashLen uint32, offset uint64, buf *byte, bufLen uint32, size *uint64) uint32

//go:wasmimport troupe_v1 kv_get
//go:noescape
func sysKVGet(key *byte, keyLen uint32, buf *byte, bufLen uint32, size *uint64) uint32

//go:wasmimport troupe_v1 kv_put
//go:noescape
func sysKVPut(key *byte, keyLen uint32, value *byte, valueLen uint32) uint32

//go:wasmimport troupe_v1 kv_delete
//go:noescape
func sysKVDelete(key *byte, keyLen uint32) uint32

//go:wasmimport troupe_v1 kv_list
//go:noescape
func sysKVList(prefix *byte, prefixLen uint32, after *byte, afterLen uint32, buf *byte, bufLen uint32, size *uint64) uint32

//go:wasmimport troupe_v1 sign
//go:noescape
func sysSign(data *byte, dataLen uint32, buf *byte, bufLen uint32) uint32

//go:wasmimport troupe_v1 derive_secret
//go:noescape
func sysDeriveSecret(path *byte, pathLen uint32, buf *byte, bufLen uint32) uint32

//go:wasmimport troupe_v1 tip
//go:noescape
func sysTip(amount uint64) uint32

//go:wasmimport troupe_v1 gas_token
//go:noescape
func sysGasToken(gas *uint64, buf *byte, bufLen uint32) uint32

//go:wasmimport troupe_v1 gas_left
//go:noescape
func sysGasLeft(gas *uint64) uint32

//go:wasmimport troupe_v1 quote
//go:noescape
func sysQuote(data *byte, dataLen uint32, buf *byte, bufLen uint32, size *uint64) uint32

//go:wasmimport troupe_v1 accept
//go:noescape
func sysAccept(timeout int64, kind *uint32, handle *uint32) uint32

//go:wasmimport troupe_v1 head
//go:noescape
func sysHead(handle uint32, buf *byte, bufLen uint32, size *uint64) uint32

//go:wasmimport troupe_v1 read
//go:noescape
func sysRead(handle uint32, timeout int64, buf *byte, bufLen uint32, size *uint64) uint32

//go:wasmimport troupe_v1 write
//go:noescape
func sysWrite(handle uint32, timeout int64, data *byte, dataLen uint32, size *uint64) uint32

//go:wasmimport troupe_v1 respond
//go:noescape
func sysRespond(handle uint32, status uint32, header *byte, headerLen uint32) uint32

//go:wasmimport troupe_v1 reply
//go:noescape
func sysReply(handle uint32, status uint32, data *byte, dataLen uint32) uint32

//go:wasmimport troupe_v1 shutdown
//go:noescape
func sysShutdown(handle uint32) uint32

//go:wasmimport troupe_v1 close
//go:noescape
func sysClose(handle uint32) uint32

//go:wasmimport troupe_v1 poll
//go:noescape
func sysPoll(handles *byte, handlesLen uint32, timeout int64, index *uint32) uint32

//go:wasmimport troupe_v1 timer
//go:noescape
func sysTimer(ms int64, handle *uint32) uint32

//go:wasmimport troupe_v1 timer_reset
//go:noescape
func sysTimerReset(handle uint32, ms int64) uint32

//go:wasmimport troupe_v1 lock
//go:noescape
func sysLock(path *byte, pathLen uint32, timeout int64, handle *uint32) uint32

//go:wasmimport troupe_v1 connect
//go:noescape
func sysConnect(address *byte, addressLen uint32, tls uint32, timeout int64, handle *uint32) uint32

//go:wasmimport troupe_v1 listen
//go:noescape
func sysListen(address *byte, addressLen uint32, handle *uint32) uint32

//go:wasmimport troupe_v1 conn_accept
//go:noescape
func sysConnAccept(handle uint32, timeout int64, conn *uint32, buf *byte, bufLen uint32, size *uint64) uint32

//go:wasmimport troupe_v1 fetch
//go:noescape
func sysFetch(request *byte, requestLen uint32, timeout int64, handle *uint32) uint32

//go:wasmimport troupe_v1 grant
//go:noescape
func sysGrant(name *byte, nameLen uint32, handle *uint32) uint32

//go:wasmimport troupe_v1 channel
//go:noescape
func sysChannel(handle *uint32) uint32

//go:wasmimport troupe_v1 send
//go:noescape
func sysSend(handle uint32, timeout int64, data *byte, dataLen uint32, pass uint32) uint32

//go:wasmimport troupe_v1 recv
//go:noescape
func sysRecv(handle uint32, timeout int64, buf *byte, bufLen uint32, size *uint64, pass *uint32) uint32

//go:wasmimport troupe_v1 attenuate
//go:noescape
func sysAttenuate(handle uint32, rights uint32, out *uint32) uint32

//go:wasmimport troupe_v1 channel_close
//go:noescape
func sysChannelClose(handle uint32) uint32

//go:wasmimport troupe_v1 publish
//go:noescape
func sysPublish(handle uint32, data *byte, dataLen uint32) uint32

//go:wasmimport troupe_v1 subscribe
//go:noescape
func sysSubscribe(handle uint32, buffer uint32, out *uint32) uint32

//go:wasmimport troupe_v1 dropped
//go:noescape
func sysDropped(handle uint32, count *uint64) uint32
