//go:build !wasip1

package guest

// There is no host here: programs that use the package can be vetted and documented on any system.

func sysLog(uint32, *byte, uint32) uint32                              { return uint32(ErrUnsupported) }
func sysFact(uint32, *byte, uint32, *uint64) uint32                    { return uint32(ErrUnsupported) }
func sysBlobRead(*byte, uint32, uint64, *byte, uint32, *uint64) uint32 { return uint32(ErrUnsupported) }
func sysKVGet(*byte, uint32, *byte, uint32, *uint64) uint32            { return uint32(ErrUnsupported) }
func sysKVPut(*byte, uint32, *byte, uint32) uint32                     { return uint32(ErrUnsupported) }
func sysKVDelete(*byte, uint32) uint32                                 { return uint32(ErrUnsupported) }
func sysKVList(*byte, uint32, *byte, uint32, *byte, uint32, *uint64) uint32 {
	return uint32(ErrUnsupported)
}
func sysSign(*byte, uint32, *byte, uint32) uint32             { return uint32(ErrUnsupported) }
func sysDeriveSecret(*byte, uint32, *byte, uint32) uint32     { return uint32(ErrUnsupported) }
func sysTip(uint64) uint32                                    { return uint32(ErrUnsupported) }
func sysGasToken(*uint64, *byte, uint32) uint32               { return uint32(ErrUnsupported) }
func sysGasLeft(*uint64) uint32                               { return uint32(ErrUnsupported) }
func sysQuote(*byte, uint32, *byte, uint32, *uint64) uint32   { return uint32(ErrUnsupported) }
func sysAccept(int64, *uint32, *uint32) uint32                { return uint32(ErrUnsupported) }
func sysHead(uint32, *byte, uint32, *uint64) uint32           { return uint32(ErrUnsupported) }
func sysRead(uint32, int64, *byte, uint32, *uint64) uint32    { return uint32(ErrUnsupported) }
func sysWrite(uint32, int64, *byte, uint32, *uint64) uint32   { return uint32(ErrUnsupported) }
func sysRespond(uint32, uint32, *byte, uint32) uint32         { return uint32(ErrUnsupported) }
func sysReply(uint32, uint32, *byte, uint32) uint32           { return uint32(ErrUnsupported) }
func sysShutdown(uint32) uint32                               { return uint32(ErrUnsupported) }
func sysClose(uint32) uint32                                  { return uint32(ErrUnsupported) }
func sysPoll(*byte, uint32, int64, *uint32) uint32            { return uint32(ErrUnsupported) }
func sysTimer(int64, *uint32) uint32                          { return uint32(ErrUnsupported) }
func sysTimerReset(uint32, int64) uint32                      { return uint32(ErrUnsupported) }
func sysLock(*byte, uint32, int64, *uint32) uint32            { return uint32(ErrUnsupported) }
func sysConnect(*byte, uint32, uint32, int64, *uint32) uint32 { return uint32(ErrUnsupported) }
func sysListen(*byte, uint32, *uint32) uint32                 { return uint32(ErrUnsupported) }
func sysConnAccept(uint32, int64, *uint32, *byte, uint32, *uint64) uint32 {
	return uint32(ErrUnsupported)
}
func sysFetch(*byte, uint32, int64, *uint32) uint32                 { return uint32(ErrUnsupported) }
func sysGrant(*byte, uint32, *uint32) uint32                        { return uint32(ErrUnsupported) }
func sysChannel(*uint32) uint32                                     { return uint32(ErrUnsupported) }
func sysSend(uint32, int64, *byte, uint32, uint32) uint32           { return uint32(ErrUnsupported) }
func sysRecv(uint32, int64, *byte, uint32, *uint64, *uint32) uint32 { return uint32(ErrUnsupported) }
func sysAttenuate(uint32, uint32, *uint32) uint32                   { return uint32(ErrUnsupported) }
func sysChannelClose(uint32) uint32                                 { return uint32(ErrUnsupported) }
func sysPublish(uint32, *byte, uint32) uint32                       { return uint32(ErrUnsupported) }
func sysSubscribe(uint32, uint32, *uint32) uint32                   { return uint32(ErrUnsupported) }
func sysDropped(uint32, *uint64) uint32                             { return uint32(ErrUnsupported) }
