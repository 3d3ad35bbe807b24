#!/usr/bin/env python3
"""Fits erfcx(y) = exp(y^2) erfc(y) on [0, 7.5] as t (c0 + c1 t + ...), t = 1 / (1 + p y), with the smallest
largest relative error (Lawson iteration).  Its p = 0.4, degree 8 row is in src/cpu/kern_tmpl.c.  Needs
numpy and scipy."""
import numpy as np
from scipy.special import erfcx
for p in (0.3,0.4,0.5):
  for deg in (6,7,8,9):
    Y=7.5
    tlo=1/(1+p*Y)
    n=400
    c=np.cos(np.pi*(np.arange(n)+.5)/n); t=(1+tlo)/2+(1-tlo)/2*c
    y=(1/t-1)/p
    f=erfcx(y)
    A=np.vander(t,deg+1,increasing=True)*t[:,None]
    w=np.ones(n)/n
    for it in range(500):
        W=np.sqrt(w)/f
        co=np.linalg.lstsq(A*W[:,None],f*W,rcond=None)[0]
        e=np.abs(A@co/f-1); w=w*(e+1e-13); w/=w.sum()
    co32=co.astype(np.float32)
    yy=np.linspace(0,7.5,40001).astype(np.float32)
    tt=(np.float32(1)/(np.float32(1)+np.float32(p)*yy)).astype(np.float32)
    acc=np.full_like(tt,co32[-1])
    for k in co32[-2::-1]: acc=(acc*tt+k).astype(np.float32)
    acc=(acc*tt).astype(np.float32)
    r=np.abs(acc/erfcx(yy.astype(float))-1).max()
    print(p,deg,'fit %.2e f32 %.2e maxco %.2f'%(e.max(),r,np.abs(co).max()), [float('%.9g'%v) for v in co32] if (p,deg) in ((0.4,8),(0.5,8),(0.3,8),(0.4,7),(0.5,9)) else '')
